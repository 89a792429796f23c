"""A version that grows on a ramp, is ejected while it fails, and replaces the old version, which drains."""

import asyncio
import time

from harness.client import Browser
from harness.upstream import Upstream

from .report import Scenario
from .stage import Stage, flips, served

NAME = "rollout"
TITLE = "A ramp, an ejection and a drain"
ABOUT = (
    "v2 grows on a ramp and holds at 50 %. Then v2 fails, and v1 serves its clients until v2 recovers. "
    "At last v2 becomes the stable version, and v1 keeps its clients until their pins expire."
)
CURL = ["curl -i -H 'x-tester: yes' -H 'x-pinion-explain: 1' localhost:{port}"]

CLIENTS, SECONDS, TTL = 60, 6, 8
WHY = [("x-tester", "yes"), ("x-pinion-explain", "1")]


def ramp_from_now(config: dict) -> None:
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    app = config["apps"][0]
    app["versions"][1].update(weight=0, ramp={"to": 100, "start": start, "duration": f"{SECONDS}s", "holdAt": 50})
    app["outlierDetection"]["baseEjectionTime"] = "2s"


def takes_over(config: dict) -> None:
    app = config["apps"][0]
    app["versions"] = [{"name": "v1", "label": "1.0", "state": "draining"}, {"name": "v2", "label": "2.0"}]
    app.update(stable="v2", pin={"cookie": {"ttl": f"{TTL}s"}})


def slots_of_v2(stage: Stage) -> int:
    found = [value for name, value in stage.envoy.metrics().items() if "share_slots" in name and '"v2"' in name]
    return int(found[0])


async def until(done) -> None:
    end = time.monotonic() + 30
    while not await done() and time.monotonic() < end:
        await asyncio.sleep(0.05)


async def run(stage: Stage, scenario: Scenario) -> None:
    clients = stage.browsers(CLIENTS)
    seen = await grow(stage, scenario, clients)
    await fail(stage, scenario, [client for client, versions in zip(clients, seen) if versions[-1] == "v2"])
    await drain(stage, scenario)
    for client in clients:
        await client.close()


async def grow(stage: Stage, scenario: Scenario, clients: list[Browser]) -> list[list[str]]:
    scenario.progress(f"v2 grows from 0 to 50 % in {SECONDS // 2} seconds; {CLIENTS} clients send requests all the time")

    async def begun() -> bool:
        return slots_of_v2(stage) < 50_000

    await stage.update(ramp_from_now, begun)
    seen: list[list[str]] = [[] for _ in clients]
    course = []
    while not course or course[-1] < 50_000:
        for client, versions in zip(clients, seen):
            versions.append(served(await client.request()))
        course.append(slots_of_v2(stage))
    for client, versions in zip(clients, seen):
        versions.append(served(await client.request()))
    at = [f"{slots / 1000:.0f} %" for slots in dict.fromkeys(course)]
    scenario.check("the gauge of v2's share", "rises, and holds at 50 %", " ".join(at),
                   holds=lambda _: course == sorted(course) and course[-1] == 50_000)  # fmt: skip
    slots = [int(client.cookies["pinion-shop"].split("~")[3]) for client in clients]
    due = [slot < 50_000 for slot in slots]
    moved = [versions[-1] == "v2" for versions in seen]
    scenario.check("clients on v2", f"the {sum(due)} whose slot is below 50,000", sum(moved), holds=lambda _: moved == due)
    back = sum(1 for versions in seen for a, b in zip(versions, versions[1:]) if (a, b) == ("v2", "v1"))
    scenario.check("clients that went back", 0, back)
    scenario.check("most moves of a client", "at most one", max(flips([versions]) for versions in seen), holds=lambda most: most <= 1)
    return seen


async def fail(stage: Stage, scenario: Scenario, clients: list[Browser]) -> None:
    scenario.progress(f"v2 goes down; its {len(clients)} clients send requests")
    before = [client.cookies["pinion-shop"] for client in clients]
    port = stage.upstreams["v2"].port
    stage.upstreams["v2"].__exit__()
    statuses = [(await client.request()).status for client in clients]
    scenario.check("errors until v2 is ejected", "3 to 6", statuses.count(503), holds=lambda count: 3 <= count <= 6)
    scenario.check("version that serves its clients then", "v1", served(await clients[0].request()))
    why = (await clients[0].request(headers=WHY)).get("x-pinion-decision")
    scenario.check("x-pinion-decision", "reason=fallback, …, ejected", why,
                   holds=lambda said: "reason=fallback" in said and 'ejected="v2"' in said)  # fmt: skip
    scenario.progress("v2 comes up again; one trial request at a time probes it")
    stage.upstreams["v2"] = stage.stack.enter_context(Upstream("v2", port))

    async def back() -> bool:
        return served(await clients[0].request()) == "v2"

    await until(back)
    versions = {served(await client.request()) for client in clients}
    scenario.check("version that serves its clients after the recovery", "v2", ", ".join(sorted(versions)))
    after = [client.cookies["pinion-shop"] for client in clients]
    scenario.check("pins that changed", 0, sum(a != b for a, b in zip(before, after)))
    ejections = total(stage, "pinion_ejections_total")
    scenario.check("pinion_ejections_total", "1 or more", ejections, holds=lambda count: count >= 1)


async def drain(stage: Stage, scenario: Scenario) -> None:
    scenario.progress(f"v2 becomes stable and v1 drains; the TTL of pins is {TTL} seconds here")
    clients = stage.browsers(20)
    homes = [served(await client.request()) for client in clients]

    async def stable() -> bool:
        return slots_of_v2(stage) == 100_000

    await stage.update(takes_over, stable)
    stayed = [served(await client.request()) for client in clients]
    scenario.check("clients that stay on v1, and on v2", [homes.count("v1"), homes.count("v2")],
                   [stayed.count("v1"), stayed.count("v2")], holds=lambda _: stayed == homes)  # fmt: skip
    scenario.check("new clients on v1", 0, (await stage.shares(500))["v1"])
    scenario.progress("the pins expire")
    started = time.monotonic()

    async def empty() -> bool:
        return time.monotonic() - started > TTL

    await until(empty)
    before = total(stage, "pinion_requests_total", '"v1"')
    versions = {served(await client.request()) for client in clients}
    scenario.check("version that serves all clients at the end", "v2", ", ".join(sorted(versions)))
    scenario.check("requests to v1 since then", 0, total(stage, "pinion_requests_total", '"v1"') - before)
    for client in clients:
        await client.close()


def total(stage: Stage, metric: str, label: str = "") -> int:
    metrics = stage.envoy.metrics().items()
    return int(sum(value for name, value in metrics if name.startswith(metric) and label in name))
