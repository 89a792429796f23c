"""Sends requests in many short rounds, each through every proxy in turn, and takes the CPU time of each."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cost.scenarios import Asked
from harness import envoy
from harness.client import Connection
from harness.envoy import Envoy
from harness.load import Load, send

from . import rivals
from .rivals import Proxy

REQUESTS = 2000
"""Of a cell in a round: about a fifth of a second, so that what else the machine does falls on all alike."""
WARM = 30_000
"""Of a process before the first round: V8 compiles a function well once enough of it has run."""
AGAIN = 3000
"""Before the first round with a process that has waited: it has lost its caches, and takes so many to fill them."""
TURNS = 5
"""Processes of a proxy that a budget names, taken in turn. Two of the same differ by up to a microsecond, by where their
memory lies."""
CONNECTIONS = 4
LIMIT = 660.0
"""Seconds that turns may take in all: on a busy machine there are fewer of them."""

Cell = tuple[str, str]
"""A proxy's name and a request's."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    proxies: dict[str, Proxy]
    requests: dict[str, Asked]
    cells: list[Cell]
    processes: dict[str, int]
    """How many there are of each proxy: 1 or `TURNS`."""


Times = dict[Cell, list[list[float]]]
"""Microseconds of CPU time for a request, by turn and round."""


def cpu_seconds(pid: int) -> float:
    """The CPU time of a whole process so far, to the nanosecond: the kernel's clock for it (clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)


@contextmanager
def running(proxies: dict[str, Proxy], processes: dict[str, int]) -> Iterator[dict[str, list[Envoy]]]:
    """The proxies' processes, and the origin behind them in one of its own."""
    binary = envoy.installed(envoy.NEWEST)
    with ExitStack() as stack:
        origin = stack.enter_context(Envoy(rivals.origin(), binary=binary))
        port = origin.port()
        started: dict[str, list[Envoy]] = {}
        for name, proxy in proxies.items():
            options = {"binary": binary, "module": proxy.module, "concurrency": proxy.workers}
            started[name] = [
                stack.enter_context(Envoy(proxy.bootstrap(port), **options)) for _ in range(processes[name])
            ]
        yield started


def load(asked: Asked, requests: int) -> Load:
    return Load(requests, CONNECTIONS, (("host", asked.host), *asked.headers), paths=asked.paths)


def measure(
    plan: Plan, rounds: int, folder: Path, check: Callable[[Cell, dict[str, str]], None], tell: Callable[[str], None]
) -> Times:
    """So many rounds in each turn. What is compared is so measured within seconds, by processes that don't wait long.

    Within a turn each kind of request comes by itself, and in every round through every proxy, in another order each time.
    """
    with running(plan.proxies, plan.processes) as envoys:

        def run(cell: Cell, process: Envoy, requests: int) -> float:
            pid = process.process.pid
            before = cpu_seconds(pid)
            answers = send([load(plan.requests[cell[1]], requests)], process.port(), folder)
            if answers != [{"200": requests}]:
                raise RuntimeError(f"{', '.join(cell)}: {answers}\n{process.log()[-4000:]}")
            return (cpu_seconds(pid) - before) / requests * 1e6

        kinds = collections.Counter(name for name, _ in plan.cells)
        for cell in plan.cells:
            name, request = cell
            for process in envoys[name]:
                check(cell, asyncio.run(_answer(process.port(), plan.requests[request])))
                run(cell, process, WARM // kinds[name])
        tell(f"{sum(plan.processes.values())} processes are warm")
        times: Times = {cell: [] for cell in plan.cells}
        shuffle = random.Random(1).shuffle
        begun = time.monotonic()
        for turn in range(TURNS):
            for request in plan.requests:
                cells = [cell for cell in plan.cells if cell[1] == request]
                processes = {cell: envoys[cell[0]][turn % len(envoys[cell[0]])] for cell in cells}
                for cell in cells:
                    run(cell, processes[cell], AGAIN)
                    times[cell].append([])
                for _ in range(rounds):
                    shuffle(cells)
                    for cell in cells:
                        times[cell][turn].append(run(cell, processes[cell], REQUESTS))
            passed = time.monotonic() - begun
            tell(f"turn {turn + 1} of {TURNS}, {passed:.0f} s")
            if passed * (turn + 2) / (turn + 1) > LIMIT:
                break
        return times


async def _answer(port: int, asked: Asked) -> dict[str, str]:
    connection = Connection(port)
    response = await connection.request(asked.paths[0], host=asked.host, headers=asked.headers)
    await connection.close()
    return {name: ", ".join(response.all(name)) for name in ("x-asked-for", "x-app-version", "set-cookie")}
