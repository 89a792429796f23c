"""What happens on the mesh while Prometheus watches: six minutes of a rollout, with all that may go wrong on the way.

Two apps share the gateway: `website`, whose version-2 grows from 10 to 100 % and fails once, and `mirroring`, whose v2
gets copies.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable

from harness.client import Browser, Header
from harness.seals import sealed
from mesh import KEY, Mesh

WARM, SECONDS = 20, 360
"""How long there are visitors before the story begins, and how long it is."""
CLIENTS = 150
"""How many a service knows at a time."""
DAY = 24 * 3600

WEBSITE, MIRRORING = "www.example.com", "mirroring.example.com"


class Crowd:
    """Clients of one app, who come back. With each new one another one leaves."""

    def __init__(self, mesh: Mesh, chance: random.Random):
        self.mesh, self.chance = mesh, chance
        self.away: list[Browser] = []

    async def visit(self, path: str, host: str, *headers: Header, method: str = "GET", new: bool = False) -> None:
        known = len(self.away) >= CLIENTS
        if new or not known:
            browser = self.mesh.browser()
            if known:
                await self._any().close()
        else:
            browser = self._any()
        # A proxy that is told another configuration may close a connection; a browser then opens another.
        with contextlib.suppress(ConnectionError, TimeoutError):
            await browser.request(path, host=host, headers=headers, method=method)
            self.away.append(browser)

    def _any(self) -> Browser:
        return self.away.pop(self.chance.randrange(len(self.away)))


class Story:
    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        self.chance = random.Random(1)
        self.shoppers, self.readers = Crowd(mesh, self.chance), Crowd(mesh, self.chance)
        self.app = mesh.find("WasmPlugin", "pinion-edge")["spec"]["pluginConfig"]["apps"][0]
        self.app["outlierDetection"] = {"consecutiveGatewayErrors": 5, "baseEjectionTime": "15s"}
        workload = mesh.find("WasmPlugin", "pinion-workload")["spec"]["pluginConfig"]
        workload["mirror"] = {"block": [{"methods": ["POST"]}]}
        self.routes = mesh.find("VirtualService", "website")["spec"]["http"]
        self.lost: list[Exception] = []
        self.mesh.apply()

    # What visitors do.

    async def shop(self) -> None:
        await self.shoppers.visit("/", WEBSITE)

    async def come_first(self) -> None:
        await self.shoppers.visit("/", WEBSITE, new=True)

    async def preview(self) -> None:
        await self.mesh.ask("/", host=WEBSITE, headers=[("x-preview", "version-3")])

    async def read(self) -> None:
        await self.readers.visit("/mirroring", MIRRORING)

    async def write(self) -> None:
        await self.readers.visit("/mirroring", MIRRORING, method="POST")

    async def come_late(self) -> None:
        await self._bring(self._pin(age=2 * DAY))

    async def come_with_nonsense(self) -> None:
        await self._bring("version-2")

    async def forge(self) -> None:
        await self._bring(self._pin(key=b"a key that somebody guessed"))

    async def come_with_many_cookies(self) -> None:
        await self.mesh.ask("/", host=WEBSITE, headers=[("cookie", "; ".join(f"c{i}=1" for i in range(600)))])

    async def come_with_a_long_header(self) -> None:
        await self.mesh.ask("/", host=WEBSITE, headers=[("x-region", "eu" * 1000)])

    async def _bring(self, pin: str) -> None:
        await self.mesh.ask("/", host=WEBSITE, headers=[("cookie", f"pinion-website={pin}")])

    def _pin(self, *, age: int = 0, key: bytes = KEY.encode()) -> str:
        return sealed("pin", key, "k1", "website", f"version-1~{int(time.time()) - age}~0~70000")

    async def _keeps_coming(self, what: Callable[[], Awaitable[None]], a_second: float) -> None:
        """Somebody does that so often, by chance, until cancelled."""

        async def once() -> None:
            try:
                await what()
            except Exception as error:
                self.lost.append(error)

        async with asyncio.TaskGroup() as tasks:
            while True:
                await asyncio.sleep(self.chance.expovariate(a_second))
                tasks.create_task(once())

    # What operators do.

    def weigh(self, weight: int) -> None:
        self.app["versions"][1]["weight"] = weight
        self.mesh.apply()

    def break_config(self) -> None:
        self.app["stable"] = "version-9"
        self.mesh.apply()

    def mend_config(self) -> None:
        self.app["stable"] = "version-1"
        self.mesh.apply()

    def drop_route(self) -> None:
        self._route([each for each in self.routes if each["name"] != "version-3"])

    def restore_route(self) -> None:
        self._route(self.routes)

    def _route(self, routes: list[dict]) -> None:
        self.mesh.find("VirtualService", "website")["spec"]["http"] = routes
        self.mesh.apply()

    async def tell(self, heard: Callable[[int, str], None]) -> None:
        """Lets it happen. What operators do, and when, is said to `heard`."""
        visits = {
            self.shop: 22, self.come_first: 3, self.preview: 3, self.read: 7, self.write: 2,
            self.come_late: 0.5, self.come_with_nonsense: 0.3, self.come_with_many_cookies: 0.4,
        }  # fmt: skip
        failing = self.mesh.apps["website-version-2"]
        begun = time.monotonic() + WARM
        attack: list[asyncio.Task] = []
        async with asyncio.TaskGroup() as tasks:
            crowds = [tasks.create_task(self._keeps_coming(*each)) for each in visits.items()]

            def attacked() -> None:
                attack.append(tasks.create_task(self._keeps_coming(self.forge, 2)))
                attack.append(tasks.create_task(self._keeps_coming(self.come_with_a_long_header, 1)))

            plot: list[tuple[int, str, Callable[[], object]]] = [
                (45, "version-2 from 10 to 25 %", lambda: self.weigh(25)),
                (90, "to 50 %", lambda: self.weigh(50)),
                (135, "version-2 begins to fail", lambda: failing.fail(503)),
                (160, "it is mended", lambda: failing.fail(0)),
                (205, "forged pins and endless headers", attacked),
                (235, "no more of them", lambda: [each.cancel() for each in attack]),
                (245, "a VirtualService without version-3", self.drop_route),
                (275, "its route is back", self.restore_route),
                (285, "a configuration with a typo", self.break_config),
                (310, "mended", self.mend_config),
                (320, "version-2 to 100 %", lambda: self.weigh(100)),
                (SECONDS, "the end", lambda: [each.cancel() for each in crowds]),
            ]  # fmt: skip
            for at, what, do in plot:
                await asyncio.sleep(begun + at - time.monotonic())
                heard(at, what)
                do()
        for crowd in (self.shoppers, self.readers):
            for each in crowd.away:
                await each.close()
