"""A bootstrap of `envoy/` with real upstreams."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from harness.client import Browser, Connection, Response, gather
from harness.envoy import ROOT, Envoy, EnvoyFailed, load, walk
from harness.upstream import Upstream

UPDATE_SECONDS = 30
"""The most seconds until an update is active, on a busy machine."""


class Stage:
    """Runs a bootstrap, on its own ports or on free ports, until the block ends."""

    def __init__(self, name: str, *, free_ports: bool = True):
        self.bootstrap = load(ROOT / "envoy" / f"{name}.yaml")
        self.free_ports = free_ports
        self.stack = ExitStack()

    def __enter__(self) -> Stage:
        static = self.bootstrap["static_resources"]
        own = {listener["address"]["socket_address"]["port_value"] for listener in static["listeners"]}
        self.upstreams = {
            cluster["name"]: self.stack.enter_context(Upstream(cluster["name"]))
            for cluster in static["clusters"]
            if port_of(cluster) not in own
        }
        ports = {name: upstream.port for name, upstream in self.upstreams.items()}
        self.envoy = Envoy(self.bootstrap, clusters=ports, free_ports=self.free_ports)
        self.stack.enter_context(self.envoy)
        self.port = self.envoy.port()
        return self

    def __exit__(self, *_) -> None:
        self.stack.close()

    async def ask(self, path: str = "/", **how) -> Response:
        """Sends one request of a new client."""
        connection = Connection(self.port)
        try:
            return await connection.request(path, **how)
        finally:
            await connection.close()

    def browsers(self, count: int) -> list[Browser]:
        return [Browser(self.port) for _ in range(count)]

    async def shares(self, new_clients: int, path: str = "/") -> Counter[str]:
        """The number of new clients that each version served."""
        connections = [Connection(self.port) for _ in range(16)]

        async def some(connection: Connection, count: int) -> list[str]:
            return [served(await connection.request(path)) for _ in range(count)]

        parts = await gather(some(connection, new_clients // 16) for connection in connections)
        await gather(connection.close() for connection in connections)
        return Counter(version for part in parts for version in part)

    async def update(self, change: Callable[[dict], None], until: Callable[[], asyncio.Future]) -> None:
        """Changes the filter's configuration while Envoy runs, and waits until the change is active."""
        resources = load(ROOT / "envoy" / self.envoy.discovered.name)
        walk(resources, lambda node: _edit(node, change))
        self.envoy.update(resources)
        end = time.monotonic() + UPDATE_SECONDS
        while not await until():
            if time.monotonic() > end:
                raise EnvoyFailed(f"the new configuration did not become active:\n{self.envoy.log()}")
            await asyncio.sleep(0.02)


def port_of(cluster: dict) -> int:
    """The port of a cluster's only endpoint."""
    ports: list[int] = []
    walk(cluster, lambda node: ports.append(node["port_value"]) if "port_value" in node else None)
    return ports[0]


def _edit(node: dict, change: Callable[[dict], None]) -> None:
    if str(node.get("@type", "")).endswith("StringValue"):
        config = copy.deepcopy(json.loads(node["value"]))
        change(config)
        node["value"] = json.dumps(config)


def served(response: Response) -> str:
    """The version that served, by its response."""
    assert response.status == 200, f"status {response.status}: {response.body!r}"
    return response.echo().version


async def visit(browsers: Iterable[Browser], times: int, **how) -> list[list[str]]:
    """The versions that served the requests of each browser, in order."""

    async def one(browser: Browser) -> list[str]:
        return [served(await browser.request(**how)) for _ in range(times)]

    return await gather(one(browser) for browser in browsers)


def names(visits: Iterable[list[str]]) -> str:
    """The names of all versions that served a request."""
    return ", ".join(sorted({version for seen in visits for version in seen}))


def flips(visits: Iterable[list[str]]) -> int:
    """The number of requests whose version differs from the client's previous request."""
    return sum(before != after for seen in visits for before, after in zip(seen, seen[1:]))


def within(share: float, count: int) -> tuple[str, Callable[[int], bool]]:
    """The range of a random draw: five standard deviations around the expected number."""
    middle = share * count
    wide = 5 * (count * share * (1 - share)) ** 0.5
    low, high = round(middle - wide), round(middle + wide)
    return f"{low} to {high} of {count}", lambda seen: low <= seen <= high
