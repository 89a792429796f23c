"""Sends requests in many short rounds, each through every proxy in turn, and takes the CPU time of each."""

from __future__ import annotations

import asyncio
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
WARM = 50_000
"""Before the first round. V8 compiles a function well once enough of it has run, and small ones need as many calls."""
CONNECTIONS = 4
LIMIT = 660.0
"""Seconds after which no round begins: on a busy machine there are fewer of them."""

Cell = tuple[str, str]
"""A proxy's name and a request's."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    proxies: dict[str, Proxy]
    requests: dict[str, Asked]
    cells: list[Cell]


Times = dict[Cell, list[float]]
"""Microseconds of CPU time for a request, by round."""


def cpu_seconds(pid: int) -> float:
    """The CPU time of a whole process so far, to the nanosecond: the kernel's clock for it (clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)


@contextmanager
def running(proxies: dict[str, Proxy]) -> Iterator[dict[str, Envoy]]:
    """The proxies, and the origin behind them in a process of its own."""
    binary = envoy.installed(envoy.NEWEST)
    with ExitStack() as stack:
        origin = stack.enter_context(Envoy(rivals.origin(), binary=binary))
        port = origin.port()
        started: dict[str, Envoy] = {}
        for name, proxy in proxies.items():
            options = {"binary": binary, "module": proxy.module, "concurrency": proxy.workers}
            started[name] = stack.enter_context(Envoy(proxy.bootstrap(port), **options))
        yield started


def load(asked: Asked, requests: int) -> Load:
    return Load(requests, CONNECTIONS, (("host", asked.host), *asked.headers), paths=asked.paths)


def measure(
    plan: Plan, rounds: int, folder: Path, check: Callable[[Cell, dict[str, str]], None], tell: Callable[[str], None]
) -> Times:
    """Every cell in every round, in another order each time."""
    with running(plan.proxies) as envoys:
        ports = {name: each.port() for name, each in envoys.items()}
        pids = {name: each.process.pid for name, each in envoys.items()}

        def run(cell: Cell, requests: int) -> float:
            name, request = cell
            before = cpu_seconds(pids[name])
            answers = send([load(plan.requests[request], requests)], ports[name], folder)
            if answers != [{"200": requests}]:
                raise RuntimeError(f"{name}, {request}: {answers}\n{envoys[name].log()[-4000:]}")
            return (cpu_seconds(pids[name]) - before) / requests * 1e6

        for cell in plan.cells:
            check(cell, asyncio.run(_answer(ports[cell[0]], plan.requests[cell[1]])))
            run(cell, WARM)
        tell(f"{len(plan.cells)} cells are warm")
        times: Times = {cell: [] for cell in plan.cells}
        order = list(plan.cells)
        shuffle = random.Random(1).shuffle
        begun = time.monotonic()
        for number in range(1, rounds + 1):
            shuffle(order)
            for cell in order:
                times[cell].append(run(cell, REQUESTS))
            passed = time.monotonic() - begun
            if number in (1, rounds) or number % 10 == 0 or passed > LIMIT:
                tell(f"round {number} of {rounds}, {passed:.0f} s")
            if passed > LIMIT:
                break
        return times


async def _answer(port: int, asked: Asked) -> dict[str, str]:
    connection = Connection(port)
    response = await connection.request(asked.paths[0], host=asked.host, headers=asked.headers)
    await connection.close()
    return {name: ", ".join(response.all(name)) for name in ("x-asked-for", "x-app-version", "set-cookie")}
