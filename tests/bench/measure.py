"""Sends requests to each proxy in turn, in many short rounds, and takes the CPU time of each."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from cost.scenarios import Asked
from harness import envoy
from harness.client import Connection
from harness.envoy import Envoy

from . import rivals
from .rivals import Proxy

REQUESTS = 120
"""Of a cell in a round: some milliseconds, as what else the machine does is much the same for some tens of them."""
AGAIN = 40
"""Before these, in every round: what ran in between has taken a proxy's place in the caches, and so many bring it back."""
WARM = 5000
"""Of a cell before the first round: V8 and LuaJIT compile well what has run some ten thousand times."""
TURNS = 5
"""Envoys, one after the other: VMs of the same proxy differ a little, by where their memory lies."""
CONNECTIONS = 4
LIMIT = 540.0
"""Seconds that the rounds may take in all: on a busy machine there are fewer of them."""

Cell = tuple[str, str]
"""A proxy's name and a request's."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    proxies: dict[str, Proxy]
    requests: dict[str, Asked]
    cells: list[Cell]


Times = dict[Cell, list[list[float]]]
"""Microseconds of CPU time for a request, by turn and round."""


def cpu_seconds(pid: int) -> float:
    """The CPU time of a whole process so far, to the nanosecond: the kernel's clock for it (clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)


class Connections:
    """HTTP/1.1 connections to a port that stay open: a request goes out on each, then each is waited for."""

    def __init__(self, port: int, count: int):
        self.sockets = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(count)]
        for each in self.sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Connections:
        return self

    def __exit__(self, *_) -> None:
        for each in self.sockets:
            each.close()

    def send(self, requests: Iterator[bytes], count: int) -> None:
        """Sends so many of them, rounded up to the connections, and expects a 200 without a body from each."""
        for _ in range(-(-count // len(self.sockets))):
            for each in self.sockets:
                each.sendall(next(requests))
            for each in self.sockets:
                response = more = each.recv(65_536)
                while more and not response.endswith(b"\r\n\r\n"):
                    more = each.recv(65_536)
                    response += more
                if not more or not response.startswith(b"HTTP/1.1 200 "):
                    raise RuntimeError(f"not what was expected: {response!r}")


def requests(asked: Asked) -> Iterator[bytes]:
    """Its requests without an end, with paths by chance."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in (("host", asked.host), *asked.headers))
    paths = random.Random(1).choices(asked.paths, k=10 * len(asked.paths))
    return itertools.cycle([f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode() for path in paths])


@dataclasses.dataclass(frozen=True)
class Ready:
    """A proxy that runs, and the connections to it."""

    pid: int
    """Of an Envoy that has others too."""
    port: int
    connections: Connections

    def took(self, sent: Iterator[bytes]) -> float:
        """Microseconds of CPU time for a request."""
        self.connections.send(sent, AGAIN)
        before = cpu_seconds(self.pid)
        self.connections.send(sent, REQUESTS)
        return (cpu_seconds(self.pid) - before) / REQUESTS * 1e6


@contextmanager
def running(proxies: dict[str, Proxy]) -> Iterator[dict[str, Ready]]:
    """One Envoy for each number of workers has all proxies of so many; the origin behind them is another."""
    binary = envoy.installed(envoy.NEWEST)
    with ExitStack() as stack:
        origin = stack.enter_context(Envoy(rivals.origin(), binary=binary)).port()
        started = {}
        for workers in sorted({proxy.workers for proxy in proxies.values()}):
            here = {name: proxy for name, proxy in proxies.items() if proxy.workers == workers}
            edge = stack.enter_context(Envoy(rivals.bootstrap(here, origin), binary=binary, concurrency=workers))
            for name, port in edge.ports().items():
                started[name] = Ready(edge.process.pid, port, stack.enter_context(Connections(port, CONNECTIONS)))
        yield started


def measure(
    plan: Plan, rounds: int, check: Callable[[Cell, dict[str, str]], None], tell: Callable[[str], None]
) -> Times:
    """So many rounds in each turn, of every cell: kind by kind of request, its proxies in another order each time.

    What is compared is so measured within a second, by one process.
    """
    sent = {name: requests(asked) for name, asked in plan.requests.items()}
    kinds = [[cell for cell in plan.cells if cell[1] == name] for name in plan.requests]
    times: Times = {cell: [[] for _ in range(TURNS)] for cell in plan.cells}
    shuffle = random.Random(1).shuffle
    for turn in range(TURNS):
        with running(plan.proxies) as proxies:
            for cell in plan.cells:
                name, request = cell
                check(cell, asyncio.run(_answer(proxies[name].port, plan.requests[request])))
                proxies[name].connections.send(sent[request], WARM)
            tell(f"turn {turn + 1} of {TURNS}: {len(proxies)} proxies are warm")
            end = time.monotonic() + LIMIT / TURNS
            for done in range(rounds):
                if done and time.monotonic() > end:
                    break
                for cells in kinds:
                    shuffle(cells)
                    for cell in cells:
                        name, request = cell
                        times[cell][turn].append(proxies[name].took(sent[request]))
    return times


async def _answer(port: int, asked: Asked) -> dict[str, str]:
    connection = Connection(port)
    response = await connection.request(asked.paths[0], host=asked.host, headers=asked.headers)
    await connection.close()
    return {name: ", ".join(response.all(name)) for name in ("x-asked-for", "x-app-version", "set-cookie")}
