"""Ramps with a real clock: gauges and clients follow the configured course, and no client goes back.

A request or a reading is compared with all that the course allows between the time before and the time after.
"""

import asyncio
import dataclasses
import datetime
import hashlib
import re
import time

import yaml

from harness import bootstrap as make
from harness.client import Browser, gather
from harness.envoy import Envoy
from harness.upstream import Upstream

SLOTS = 100_000
BEGUN, LASTS = 2, 8
"""The age of the ramps when the proxy gets them, and their length, in seconds."""

LAG = 2
"""The greatest age of a gauge, in seconds. The filter sets it once a second, in whole seconds."""

COOKIES, KEYS, NEW = 10, 5, 4
"""The returning clients of each app, and the new clients in each round."""


@dataclasses.dataclass(frozen=True)
class Course:
    """A version's share over time, calculated here from the documentation of ramps."""

    start: int
    weight: int = 0
    to: int = 100
    steps: int | None = None
    hold_at: int | None = None

    def slots(self, now: float) -> int:
        elapsed = min(max(int(now) - self.start, 0), LASTS)
        done, whole = (elapsed * self.steps // LASTS, self.steps) if self.steps else (elapsed, LASTS)
        way = (self.to - self.weight) * SLOTS // 100
        gone = abs(way) * done // whole
        share = self.weight * SLOTS // 100 + (gone if way > 0 else -gone)
        if self.hold_at is None:
            return share
        return (min if way > 0 else max)(share, self.hold_at * SLOTS // 100)

    def written(self) -> dict:
        """The ramp as a configuration field."""
        start = datetime.datetime.fromtimestamp(self.start, datetime.UTC).isoformat().replace("+00:00", "Z")
        ramp = {"to": self.to, "start": start, "duration": f"{LASTS}s", "steps": self.steps, "holdAt": self.hold_at}
        return {name: value for name, value in ramp.items() if value is not None}


def courses(start: int) -> dict[str, dict[str, Course]]:
    """The courses of each app's versions except v1, which takes the rest."""
    return {
        "rising": {"v2": Course(start)},
        "held": {"v2": Course(start, weight=10, hold_at=60)},
        "stepped": {"v2": Course(start, steps=4)},
        "falling": {"v2": Course(start, weight=90, to=10)},
        "two-at-once": {"v2": Course(start, to=50), "v3": Course(start, to=50)},
    }


def config(courses: dict[str, dict[str, Course]], generation: str | None = None) -> dict:
    """A configuration. With a generation, the versions have their ramps, and their labels name the generation."""
    moving = generation is not None
    label = {"label": generation} if moving else {}

    def version(name: str, course: Course) -> dict:
        return {"name": name, "weight": course.weight, **label} | ({"ramp": course.written()} if moving else {})

    apps = []
    for app, others in courses.items():
        versions = [{"name": "v1", **label}, *(version(name, course) for name, course in others.items())]
        pin = {"key": [{"header": "x-user-id"}]}
        apps.append({"name": app, "hosts": [app], "versions": versions, "stable": "v1", "pin": pin})
    return {"apps": apps}


def slot_of_key(app: str, key: str) -> int:
    digest = hashlib.sha256(f"pinion1-slot|{app}|0|{key}".encode()).digest()
    return (int.from_bytes(digest[:8]) >> 12) % SLOTS


def allowed(others: dict[str, Course], slot: int, before: float, after: float) -> set[str]:
    """The versions that a slot may belong to between two times. v2 grows from the lowest slot, v3 from the highest."""

    def owner(now: float) -> str:
        if slot < others["v2"].slots(now):
            return "v2"
        if "v3" in others and slot >= SLOTS - others["v3"].slots(now):
            return "v3"
        return "v1"

    return {owner(now) for now in range(int(before), int(after) + 1)}


class Client:
    """A returning client, by its cookie or by its key."""

    def __init__(self, app: str, port: int, key: str | None = None):
        self.app, self.key, self.browser = app, key, Browser(port)
        self.slot = slot_of_key(app, key) if key else None
        self.seen: list[str] = []

    async def visit(self) -> tuple[float, float]:
        before = time.time()
        headers = [("x-user-id", self.key)] if self.key else []
        response = await self.browser.request(host=self.app, headers=headers)
        after = time.time()
        assert response.status == 200
        version = response.echo().version
        # A cookie is set only for a new pin or for a new version, and never for a client with a key.
        expected = self.key is None and (not self.seen or self.seen[-1] != version)
        assert bool(response.all("set-cookie")) == expected, (self.app, self.seen, response.headers)
        if self.key is None:
            named, _, _, slot = self.browser.cookies[f"pinion-{self.app}"].split("~")
            assert named == version and self.slot in (None, int(slot)), "a pin keeps its slot and names its version"
            self.slot = int(slot)
        self.seen.append(version)
        return before, after

    def moves(self) -> list[tuple[str, str]]:
        return [pair for pair in zip(self.seen, self.seen[1:]) if pair[0] != pair[1]]


def read_gauges(envoy: Envoy) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, value in envoy.metrics().items():
        if name.startswith("pinion_share_slots"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
            found.setdefault(labels["pin_app"], {})[labels["pin_version"]] = int(value)
    return found


def judge_gauges(readings: list, plan: dict[str, dict[str, Course]]) -> None:
    """Checks that each reading is on the course, that the gauges add up, and that a ramp never turns back."""
    for before, gauges, after in readings:
        for app, others in plan.items():
            assert sum(gauges[app].values()) == SLOTS, gauges[app]
            for version, course in others.items():
                lowest, highest = sorted([course.slots(before - LAG), course.slots(after)])
                assert lowest <= gauges[app][version] <= highest, (app, version, before - course.start, gauges[app])
    for app, others in plan.items():
        for version, course in others.items():
            seen = [gauges[app][version] for _, gauges, _ in readings]
            assert seen == sorted(seen, reverse=course.to < course.weight), (app, version, seen)
            assert seen[-1] == course.slots(course.start + LASTS), (app, version)
            assert len(set(seen)) > 1, f"too few readings of {app} during the ramp: {seen}"
            if course.steps:
                steps = {SLOTS * i // course.steps for i in range(course.steps + 1)}
                assert set(seen) <= steps, seen


def judge_clients(clients: list[Client], plan: dict[str, dict[str, Course]]) -> None:
    """Checks that each client moves at most once, and only in the direction of its app's ramp."""
    for client in clients:
        falling = plan[client.app]["v2"].to < plan[client.app]["v2"].weight
        ways = [("v2", "v1")] if falling else [("v1", "v2"), ("v1", "v3")]
        assert len(client.moves()) <= 1 and all(move in ways for move in client.moves()), (client.app, client.seen)
    for app, others in plan.items():
        ours = [client for client in clients if client.app == app]
        end = others["v2"].start + LASTS
        for client in ours:
            assert {client.seen[-1]} == allowed(others, client.slot, end, end), (app, client.slot, client.seen)
        assert any(client.moves() for client in ours), f"no client moved in {app}"
    held = [client for client in clients if client.app == "held" and client.slot >= 60 * SLOTS // 100]
    assert held and all(set(client.seen) == {"v1"} for client in held), "the ramp holds at 60 %"


def test_gauges_and_clients_follow_the_course(binary, start, tmp_path):
    upstreams = {name: start(Upstream(name)) for name in ("v1", "v2", "v3")}
    path = tmp_path / "pinion.yaml"
    path.write_text(yaml.safe_dump(make.resource(config(courses(0)))))
    routes = [make.to(name, x_app_version=name) for name in upstreams]
    clusters = [make.cluster(name, upstream.port) for name, upstream in upstreams.items()]
    listener = make.listener("edge", [make.discovered(path)], routes)
    # One worker is enough: the main thread sets the gauges, and they are read there.
    envoy = start(Envoy(make.bootstrap([listener], clusters), binary=binary))
    port = envoy.port()
    clients = [
        Client(app, port, key)
        for app in courses(0)
        for key in [*[None] * COOKIES, *(f"user-{i}" for i in range(KEYS))]
    ]

    async def run() -> None:
        await gather(client.visit() for client in clients)
        plan = courses(int(time.time()) - BEGUN)
        envoy.update(make.resource(config(plan, "on its ramp")))
        probe, give_up = Browser(port), time.monotonic() + 30
        while (await probe.request(host="rising")).get("x-app-version") != "on its ramp":
            assert time.monotonic() < give_up, "the ramps did not become active"
            await asyncio.sleep(0.02)
        readings: list = []
        drawn: list[tuple[float, str]] = []
        end = plan["rising"]["v2"].start + LASTS

        async def read() -> None:
            before = time.time()
            gauges = await asyncio.to_thread(read_gauges, envoy)
            readings.append((before, gauges, time.time()))

        async def come_back(client: Client) -> None:
            before, after = await client.visit()
            assert client.seen[-1] in allowed(plan[client.app], client.slot, before, after), (client.app, client.slot)

        async def come_new() -> None:
            client = Client("rising", port)
            await come_back(client)
            drawn.append((time.time(), client.seen[0]))
            await client.browser.close()

        while time.time() < end + LAG + 0.5:
            await read()
            await gather([*map(come_back, clients), *(come_new() for _ in range(NEW))])
            await asyncio.sleep(0.1)
        await read()
        judge_gauges(readings, plan)
        judge_clients(clients, plan)
        early = [version for at, version in drawn if at < end - LASTS / 2]
        late = [version for at, version in drawn if at >= end - LASTS / 2]
        assert early and late and early.count("v2") / len(early) < late.count("v2") / len(late), (early, late)
        assert {version for at, version in drawn if at > end + 1} == {"v2"}
        for client in clients:
            await client.browser.close()
        await probe.close()

    asyncio.run(run())
