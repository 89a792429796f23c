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
WARM = 1000
"""Of a cell before the first round."""
TURNS = 10
"""Envoys, one after the other: VMs of the same proxy differ a little, by where their memory lies."""
CONNECTIONS = 4
"""The numbers of requests are multiples of it."""
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


Round = dict[str, float]
"""Microseconds of CPU time for a request, by proxy: measured within a second, by one process."""

Times = dict[str, list[list[Round]]]
"""The rounds of each kind of request, by turn."""


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
    """So many rounds in each turn, of every cell: kind by kind of request, its proxies in another order each time."""
    sent = {kind: requests(asked) for kind, asked in plan.requests.items()}
    kinds = {kind: [proxy for proxy, asked in plan.cells if asked == kind] for kind in plan.requests}
    times: Times = {kind: [] for kind in kinds}
    shuffle = random.Random(1).shuffle

    def one_round(kind: str, proxies: dict[str, Ready]) -> Round:
        shuffle(kinds[kind])
        return {name: proxies[name].took(sent[kind]) for name in kinds[kind]}

    for turn in range(TURNS):
        # In another order in each Envoy: what starts first lies elsewhere.
        names = random.Random(turn).sample(list(plan.proxies), len(plan.proxies))
        with running({name: plan.proxies[name] for name in names}) as proxies:
            for cell in plan.cells:
                name, kind = cell
                check(cell, asyncio.run(_answer(proxies[name].port, plan.requests[kind])))
                proxies[name].connections.send(sent[kind], WARM)
            tell(f"turn {turn + 1} of {TURNS}: {len(proxies)} proxies are warm")
            for of_kind in times.values():
                of_kind.append([])
            end = time.monotonic() + LIMIT / TURNS
            for done in range(rounds):
                if done and time.monotonic() > end:
                    break
                for kind, of_kind in times.items():
                    of_kind[turn].append(one_round(kind, proxies))
    return times


async def _answer(port: int, asked: Asked) -> dict[str, str]:
    connection = Connection(port)
    response = await connection.request(asked.paths[0], host=asked.host, headers=asked.headers)
    await connection.close()
    return {name: ", ".join(response.all(name)) for name in ("x-asked-for", "x-app-version", "set-cookie")}
