"""Sends requests to each proxy in turn, in many short rounds, and measures the CPU time of each proxy."""

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
"""Measured requests of a cell in a round. They take some milliseconds, in which other load hardly changes."""
WARM_UP = 40
"""Requests before these, in each round. They bring the proxy's code back into the CPU's caches."""
WARM = 1000
"""Requests of a cell before the first round."""
TURNS = 10
"""The number of Envoys, one after the other. VMs of a proxy differ a little, because of their place in memory."""
CONNECTIONS = 4
"""Connections to each proxy. The numbers of requests are multiples of this number."""
LIMIT = 540.0
"""The most seconds that all rounds take together. On a busy machine there are fewer rounds."""

Cell = tuple[str, str]
"""The name of a proxy and the name of a request."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The cells to measure."""

    proxies: dict[str, Proxy]
    requests: dict[str, Asked]
    cells: list[Cell]


Round = dict[str, float]
"""Microseconds of CPU time for a request, by proxy. One process measures a round within a second."""

Times = dict[str, list[list[Round]]]
"""The rounds by kind of request and by turn."""


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process so far, from the kernel's clock of the process (clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)


class Connections:
    """Keep-alive HTTP/1.1 connections to a port. All send a request, and then all wait for their responses."""

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
        """Sends `count` requests, rounded up to a multiple of the connections. Each response must be an empty 200."""
        for _ in range(-(-count // len(self.sockets))):
            for each in self.sockets:
                each.sendall(next(requests))
            for each in self.sockets:
                response = more = each.recv(65_536)
                while more and not response.endswith(b"\r\n\r\n"):
                    more = each.recv(65_536)
                    response += more
                if not more or not response.startswith(b"HTTP/1.1 200 "):
                    raise RuntimeError(f"unexpected response: {response!r}")


def requests(asked: Asked) -> Iterator[bytes]:
    """An endless sequence of requests with random paths."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in (("host", asked.host), *asked.headers))
    paths = random.Random(1).choices(asked.paths, k=10 * len(asked.paths))
    return itertools.cycle([f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode() for path in paths])


@dataclasses.dataclass(frozen=True)
class Running:
    """A running proxy and the connections to it."""

    pid: int
    """The process of the Envoy, which also has other proxies."""
    port: int
    connections: Connections

    def measure(self, sent: Iterator[bytes]) -> float:
        """Microseconds of CPU time for a request."""
        self.connections.send(sent, WARM_UP)
        before = cpu_seconds(self.pid)
        self.connections.send(sent, REQUESTS)
        return (cpu_seconds(self.pid) - before) / REQUESTS * 1e6


@contextmanager
def running(proxies: dict[str, Proxy]) -> Iterator[dict[str, Running]]:
    """The running proxies. Those with the same number of workers share one Envoy; the origin is another Envoy."""
    binary = envoy.installed(envoy.NEWEST)
    with ExitStack() as stack:
        origin = stack.enter_context(Envoy(rivals.origin(), binary=binary)).port()
        started = {}
        for workers in sorted({proxy.workers for proxy in proxies.values()}):
            here = {name: proxy for name, proxy in proxies.items() if proxy.workers == workers}
            edge = stack.enter_context(Envoy(rivals.bootstrap(here, origin), binary=binary, concurrency=workers))
            for name, port in edge.ports().items():
                started[name] = Running(edge.process.pid, port, stack.enter_context(Connections(port, CONNECTIONS)))
        yield started


def measure(
    plan: Plan, rounds: int, check: Callable[[Cell, dict[str, str]], None], log: Callable[[str], None]
) -> Times:
    """Measures all cells in each round, by kind of request. The order of the proxies is random in each round."""
    sent = {kind: requests(asked) for kind, asked in plan.requests.items()}
    kinds = {kind: [proxy for proxy, asked in plan.cells if asked == kind] for kind in plan.requests}
    times: Times = {kind: [] for kind in kinds}
    shuffle = random.Random(1).shuffle

    def one_round(kind: str, proxies: dict[str, Running]) -> Round:
        shuffle(kinds[kind])
        return {name: proxies[name].measure(sent[kind]) for name in kinds[kind]}

    for turn in range(TURNS):
        # The order differs in each Envoy, because it changes where the VMs lie in memory.
        names = random.Random(turn).sample(list(plan.proxies), len(plan.proxies))
        with running({name: plan.proxies[name] for name in names}) as proxies:
            for cell in plan.cells:
                name, kind = cell
                check(cell, asyncio.run(_answer(proxies[name].port, plan.requests[kind])))
                proxies[name].connections.send(sent[kind], WARM)
            log(f"turn {turn + 1} of {TURNS}: {len(proxies)} proxies are warm")
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
