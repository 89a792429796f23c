"""The life of a version over live updates, as its operator sees it: dark, canary, ramp, stable, draining, retired.

A version has no clients left when its counter of pins has not changed for one `ttl`. Pins of a draining version are not
renewed, so all of them have expired by then.
"""

import asyncio
import datetime
import re
import time

import pytest
import yaml

from harness import bootstrap as make
from harness.client import Browser, Connection, gather
from harness.envoy import Envoy
from harness.upstream import Upstream

SLOTS = 100_000
CLIENTS = 60
CANARY = 10
TTL = 4
"""The TTL of a pin in seconds, while the version drains."""

RULE = {"match": [{"headers": {"end-user": {"exact": "tester"}}}], "version": "v2"}


class Fleet:
    """An Envoy with a configuration for each stage, and the clients of an app on it."""

    def __init__(self, envoy: Envoy, upstreams: dict[str, Upstream]):
        self.envoy, self.upstreams, self.stages = envoy, upstreams, 0

    async def enter(self, versions: list[dict], stable: str, **more) -> None:
        """Enters a stage. A second app's label shows when it is active, so that the first app gets no extra request."""
        self.stages += 1
        override = {"header": "x-version-override", "allow": "any"}
        app = {"name": "shop", "hosts": ["shop"], "versions": versions, "stable": stable, "override": override, **more}
        probe = {"name": "probe", "hosts": ["probe"], "versions": [{"name": "v1", "label": f"stage-{self.stages}"}]}
        self.envoy.update(make.resource({"apps": [app, probe]}))
        give_up = time.monotonic() + 30
        while await self.label() != f"stage-{self.stages}":
            assert time.monotonic() < give_up, "the stage did not become active"
            await asyncio.sleep(0.02)

    async def label(self) -> str | None:
        connection = Connection(self.envoy.port())
        response = await connection.request(host="probe")
        await connection.close()
        return response.get("x-app-version")

    async def comers(self, count: int) -> list[Browser]:
        """New clients that have sent one request."""
        browsers = [Browser(self.envoy.port()) for _ in range(count)]
        await self.visit(browsers)
        return browsers

    async def visit(self, browsers: list[Browser], **headers: str) -> list[str]:
        """The version that served each client."""
        given = [(name.replace("_", "-"), value) for name, value in headers.items()]
        responses = await gather(browser.request(host="shop", headers=given) for browser in browsers)
        assert {response.status for response in responses} == {200}
        return [response.echo().version for response in responses]

    async def counts(self, name: str = "requests_total") -> dict[str, int]:
        """A counter of the app by its labels, such as `v2 draw`."""
        metrics = await asyncio.to_thread(self.envoy.metrics)
        found = {}
        for metric, value in metrics.items():
            labels = dict(re.findall(r'pin_(\w+)="([^"]*)"', metric))
            if metric.startswith(f"pinion_{name}{{") and labels.pop("app") == "shop":
                found[" ".join(labels.values())] = int(value)
        return found

    async def shares(self) -> dict[str, int]:
        """The gauges of the versions that have a share."""
        return {version: slots for version, slots in (await self.counts("share_slots")).items() if slots}

    async def wait_for_shares(self, expected: dict[str, int]) -> None:
        give_up = time.monotonic() + 30
        while (seen := await self.shares()) != expected:
            assert time.monotonic() < give_up, f"expected {expected}, saw {seen}"
            await asyncio.sleep(0.05)


@pytest.fixture
def fleet(binary, start, tmp_path) -> Fleet:
    upstreams = {name: start(Upstream(name)) for name in ("v1", "v2", "v3")}
    path = tmp_path / "pinion.yaml"
    path.write_text(yaml.safe_dump(make.resource({"apps": []})))
    routes = [*(make.to(name, x_app_version=name) for name in upstreams), make.to("v1")]
    clusters = [make.cluster(name, upstream.port) for name, upstream in upstreams.items()]
    listener = make.listener("edge", [make.discovered(path)], routes)
    return Fleet(start(Envoy(make.bootstrap([listener], clusters), binary=binary)), upstreams)


def slot(browser: Browser) -> int:
    return int(browser.cookies["pinion-shop"].split("~")[3])


def issued(browser: Browser) -> int:
    return int(browser.cookies["pinion-shop"].split("~")[1])


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}


async def dark(fleet: Fleet) -> None:
    await fleet.enter([{"name": "v1"}, {"name": "v2", "weight": 0}], "v1", rules=[RULE])
    comers = await fleet.comers(CLIENTS)
    assert await fleet.visit(comers) == ["v1"] * CLIENTS
    assert await fleet.visit(comers[:3], x_version_override="v2") == ["v2"] * 3
    assert await fleet.visit(comers[:2], end_user="tester") == ["v2"] * 2
    assert await fleet.counts() == {"v1 draw": CLIENTS, "v1 pin": CLIENTS, "v2 override": 3, "v2 rule": 2}
    assert await fleet.shares() == {"v1": SLOTS}


async def canary(fleet: Fleet) -> list[Browser]:
    before = await fleet.counts()
    await fleet.enter([{"name": "v1"}, {"name": "v2", "weight": CANARY}], "v1")
    comers = await fleet.comers(CLIENTS * 3)
    homes = ["v2" if slot(browser) < CANARY * SLOTS // 100 else "v1" for browser in comers]
    assert await fleet.visit(comers) == homes
    # That no client draws the canary happens once in 100 million runs.
    there = homes.count("v2")
    assert 0 < there < len(homes)
    counts = {"v1": len(homes) - there, "v2": there}
    expected = {f"{version} {reason}": count for version, count in counts.items() for reason in ("draw", "pin")}
    assert grown(before, await fleet.counts()) == expected
    await fleet.wait_for_shares({"v1": SLOTS * (100 - CANARY) // 100, "v2": SLOTS * CANARY // 100})
    return comers


async def ramp(fleet: Fleet, clients: list[Browser]) -> None:
    begun = datetime.datetime.fromtimestamp(int(time.time()) - 1, datetime.UTC).isoformat().replace("+00:00", "Z")
    rising = {"name": "v2", "weight": CANARY, "ramp": {"to": 100, "start": begun, "duration": "4s"}}
    await fleet.enter([{"name": "v1"}, rising], "v1")
    seen = [[version] for version in await fleet.visit(clients)]
    give_up = time.monotonic() + 30
    while any(versions[-1] == "v1" for versions in seen):
        assert time.monotonic() < give_up, "a client never moved"
        for versions, version in zip(seen, await fleet.visit(clients)):
            versions.append(version)
    # Each client is on v1 first and on v2 later, so the list is sorted.
    assert all(versions == sorted(versions) for versions in seen), "a client went back"
    await fleet.wait_for_shares({"v2": SLOTS})


async def stable(fleet: Fleet, clients: list[Browser]) -> list[Browser]:
    """Returns clients whose pins are valid for at least half of the TTL."""
    before = await fleet.counts()
    pin = {"cookie": {"ttl": f"{TTL}s"}}
    await fleet.enter([{"name": "v1", "weight": 0}, {"name": "v2"}], "v2", pin=pin)
    await fleet.visit(clients)
    comers = await fleet.comers(CLIENTS)
    assert {name.split()[0] for name in grown(before, await fleet.counts())} == {"v2"}
    assert await fleet.shares() == {"v2": SLOTS}
    return comers


async def draining(fleet: Fleet, clients: list[Browser]) -> None:
    pin = {"cookie": {"ttl": f"{TTL}s"}}
    await fleet.enter([{"name": "v2", "state": "draining"}, {"name": "v3"}], "v3", pin=pin)
    before, rejected = await fleet.counts(), await fleet.counts("pins_rejected_total")
    assert await fleet.visit(await fleet.comers(5)) == ["v3"] * 5, "no new client gets a draining version"
    left, stayed = set(), 0
    pins = {browser: (browser.cookies["pinion-shop"], issued(browser)) for browser in clients}

    async def come_back(browser: Browser) -> None:
        nonlocal stayed
        at = time.time()
        (version,) = await fleet.visit([browser])
        now = time.time()
        pin, since = pins[browser]
        if browser in left:
            assert version == "v3"
        elif version == "v2":
            assert at < since + TTL and browser.cookies["pinion-shop"] == pin, "the pin is not renewed"
            stayed += 1
        else:
            assert now >= since + TTL and version == "v3" and browser.cookies["pinion-shop"] != pin
            left.add(browser)

    give_up = time.monotonic() + 30
    while len(left) < len(clients):
        assert time.monotonic() < give_up, f"{len(clients) - len(left)} clients stay forever"
        await gather(map(come_back, clients))
        await asyncio.sleep(0.1)
    empty = await fleet.counts()
    assert await fleet.shares() == {"v3": SLOTS}
    assert stayed and grown(before, empty)["v2 pin"] == stayed
    assert "v2 draw" not in grown(before, empty)
    # An operator waits until the counter has not changed for one TTL, while all clients continue.
    end = time.monotonic() + TTL
    while time.monotonic() < end:
        assert set(await fleet.visit(clients)) == {"v3"}
        await asyncio.sleep(0.1)
    after = await fleet.counts()
    assert not [name for name in grown(empty, after) if name.startswith("v2")]
    # No client left early: all pins were rejected because of their age, and for no other cause.
    lost = grown(rejected, await fleet.counts("pins_rejected_total"))
    assert set(lost) == {"expired"} and lost["expired"] >= len(clients)


async def retired(fleet: Fleet, clients: list[Browser]) -> None:
    await fleet.enter([{"name": "v2", "state": "retired"}, {"name": "v3"}], "v3")
    before, rejected = await fleet.counts(), await fleet.counts("pins_rejected_total")
    fleet.upstreams["v2"].seen()
    # Pins of another proxy that got the update later than this one.
    for i, browser in enumerate(clients):
        browser.cookies["pinion-shop"] = f"v2~{int(time.time())}~0~{i}"
    assert set(await fleet.visit(clients)) == {"v3"}
    assert all(browser.cookies["pinion-shop"].startswith("v3~") for browser in clients), "the clients draw again"
    assert set(await fleet.visit(clients)) == {"v3"}
    assert await fleet.visit(clients[:1], x_version_override="v2") == ["v3"], "an override reaches no retired version"
    count = len(clients)
    assert grown(before, await fleet.counts()) == {"v3 draw": count, "v3 pin": count + 1}
    assert grown(rejected, await fleet.counts("pins_rejected_total")) == {"retired": count}
    assert fleet.upstreams["v2"].seen() == []


def test_a_version_goes_through_all_stages_from_dark_to_retired(fleet):
    async def live() -> None:
        await dark(fleet)
        clients = await canary(fleet)
        await ramp(fleet, clients)
        last = await stable(fleet, clients)
        await draining(fleet, last)
        await retired(fleet, last)

    asyncio.run(live())


def test_a_share_of_0_moves_all_clients_at_once_but_draining_moves_none(fleet):

    async def leave() -> None:
        await fleet.enter([{"name": "v1", "weight": 0}, {"name": "v2"}], "v2")
        clients = await fleet.comers(10)
        await fleet.enter([{"name": "v2", "state": "draining"}, {"name": "v3"}], "v3")
        assert await fleet.visit(clients) == ["v2"] * 10
        await fleet.enter([{"name": "v2", "weight": 0}, {"name": "v3"}], "v3")
        assert await fleet.visit(clients) == ["v3"] * 10

    asyncio.run(leave())
