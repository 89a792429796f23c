"""Six minutes of a rollout on the mesh, with the faults that the dashboard shows.

Two apps share the gateway: `website`, whose version-2 grows from 10 to 100 % and fails once, and `mirroring`, whose v2
gets mirrored requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Awaitable, Callable

from harness.client import Browser, Header
from harness.seals import sealed
from mesh import KEY, Mesh

WARM, SECONDS = 20, 360
"""The seconds with traffic before the rollout begins, and the length of the rollout."""
CLIENTS = 150
"""The most clients of an app at a time."""
DAY = 24 * 3600

WEBSITE, MIRRORING = "www.example.com", "mirroring.example.com"


class Clients:
    """The returning clients of one app. If there are enough, a new client replaces an old one."""

    def __init__(self, mesh: Mesh, random_source: random.Random):
        self.mesh, self.random = mesh, random_source
        self.idle: list[Browser] = []

    async def visit(self, path: str, host: str, *headers: Header, method: str = "GET", new: bool = False) -> None:
        is_full = len(self.idle) >= CLIENTS
        if new or not is_full:
            browser = self.mesh.browser()
            if is_full:
                await self._take().close()
        else:
            browser = self._take()
        # A proxy may close a connection when it gets a new configuration. The client is then dropped.
        with contextlib.suppress(ConnectionError, TimeoutError):
            await browser.request(path, host=host, headers=headers, method=method)
            self.idle.append(browser)

    def _take(self) -> Browser:
        return self.idle.pop(self.random.randrange(len(self.idle)))


class Rollout:
    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        self.random = random.Random(1)
        self.shoppers, self.readers = Clients(mesh, self.random), Clients(mesh, self.random)
        self.app = mesh.find("WasmPlugin", "pinion-edge")["spec"]["pluginConfig"]["apps"][0]
        self.app["outlierDetection"] = {"consecutiveGatewayErrors": 5, "baseEjectionTime": "15s"}
        self.app.setdefault("pin", {})["build"] = {"query": "dpl"}
        workload = mesh.find("WasmPlugin", "pinion-workload")["spec"]["pluginConfig"]
        workload["mirror"] = {"block": [{"methods": ["POST"]}]}
        self.routes = mesh.find("VirtualService", "website")["spec"]["http"]
        self.lost: list[Exception] = []
        self.mesh.apply()

    # The requests.

    async def return_to_website(self) -> None:
        await self.shoppers.visit("/", WEBSITE)

    async def visit_first(self) -> None:
        await self.shoppers.visit("/", WEBSITE, new=True)

    async def preview(self) -> None:
        await self.mesh.ask("/", host=WEBSITE, headers=[("x-preview", "version-3")])

    async def read(self) -> None:
        await self.readers.visit("/mirroring", MIRRORING)

    async def write(self) -> None:
        await self.readers.visit("/mirroring", MIRRORING, method="POST")

    async def send_expired_pin(self) -> None:
        await self._send_pin(self._pin(age=2 * DAY))

    async def send_malformed_pin(self) -> None:
        await self._send_pin("version-2")

    async def send_forged_pin(self) -> None:
        await self._send_pin(self._pin(key=b"a key that somebody guessed"))

    async def open_cacheable_page(self) -> None:
        answer = json.dumps([["cache-control", "s-maxage=60"]])
        await self.mesh.ask("/", host=WEBSITE, headers=[("x-test-answer", answer)])

    async def send_unknown_build(self) -> None:
        await self.mesh.ask("/?dpl=dpl_0", host=WEBSITE)

    async def send_many_cookies(self) -> None:
        await self.mesh.ask("/", host=WEBSITE, headers=[("cookie", "; ".join(f"c{i}=1" for i in range(600)))])

    async def send_long_header(self) -> None:
        await self.mesh.ask("/", host=WEBSITE, headers=[("x-region", "eu" * 1000)])

    async def _send_pin(self, pin: str) -> None:
        await self.mesh.ask("/", host=WEBSITE, headers=[("cookie", f"pinion-website={pin}")])

    def _pin(self, *, age: int = 0, key: bytes = KEY.encode()) -> str:
        return sealed("pin", key, "k1", "website", f"version-1~{int(time.time()) - age}~0~70000")

    async def _repeat(self, request: Callable[[], Awaitable[None]], a_second: float) -> None:
        """Sends a kind of request at random times, `a_second` times a second on average, until cancelled."""

        async def once() -> None:
            try:
                await request()
            except Exception as error:
                self.lost.append(error)

        async with asyncio.TaskGroup() as tasks:
            while True:
                await asyncio.sleep(self.random.expovariate(a_second))
                tasks.create_task(once())

    # The operators' changes.

    def set_weight(self, weight: int) -> None:
        self.app["versions"][1]["weight"] = weight
        self.mesh.apply()

    def break_config(self) -> None:
        self.app["stable"] = "version-9"
        self.mesh.apply()

    def fix_config(self) -> None:
        self.app["stable"] = "version-1"
        self.mesh.apply()

    def drop_route(self) -> None:
        self._route([each for each in self.routes if each["name"] != "version-3"])

    def restore_route(self) -> None:
        self._route(self.routes)

    def _route(self, routes: list[dict]) -> None:
        self.mesh.find("VirtualService", "website")["spec"]["http"] = routes
        self.mesh.apply()

    async def run(self, report: Callable[[int, str], None]) -> None:
        """Runs the rollout, and reports the operators' changes with their times."""
        requests = {
            self.return_to_website: 22, self.visit_first: 3, self.preview: 3, self.read: 7, self.write: 2,
            self.send_expired_pin: 0.5, self.send_malformed_pin: 0.3, self.send_many_cookies: 0.4,
            self.open_cacheable_page: 0.5, self.send_unknown_build: 0.3,
        }  # fmt: skip
        failing = self.mesh.apps["website-version-2"]
        begun = time.monotonic() + WARM
        attack: list[asyncio.Task] = []
        async with asyncio.TaskGroup() as tasks:
            traffic = [tasks.create_task(self._repeat(*each)) for each in requests.items()]

            def start_attack() -> None:
                attack.append(tasks.create_task(self._repeat(self.send_forged_pin, 2)))
                attack.append(tasks.create_task(self._repeat(self.send_long_header, 1)))

            events: list[tuple[int, str, Callable[[], object]]] = [
                (45, "version-2 from 10 to 25 %", lambda: self.set_weight(25)),
                (90, "to 50 %", lambda: self.set_weight(50)),
                (135, "version-2 begins to fail", lambda: failing.fail(503)),
                (160, "version-2 is repaired", lambda: failing.fail(0)),
                (205, "forged pins and very long headers", start_attack),
                (235, "the end of these", lambda: [each.cancel() for each in attack]),
                (245, "the VirtualService loses version-3", self.drop_route),
                (275, "its route is back", self.restore_route),
                (285, "a configuration with a typo", self.break_config),
                (310, "the typo is fixed", self.fix_config),
                (320, "version-2 to 100 %", lambda: self.set_weight(100)),
                (SECONDS, "the end", lambda: [each.cancel() for each in traffic]),
            ]  # fmt: skip
            for at, what, do in events:
                await asyncio.sleep(begun + at - time.monotonic())
                report(at, what)
                do()
        for clients in (self.shoppers, self.readers):
            for browser in clients.idle:
                await browser.close()
