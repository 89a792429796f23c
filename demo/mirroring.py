"""Mirrored requests: the workload recognizes them, and blocks those that must not happen twice."""

import asyncio
import time

from .report import Scenario
from .stage import Stage, served

NAME = "mirroring"
TITLE = "Mirroring"
ABOUT = (
    "v1 serves, and v2 gets a copy of every request. The sidecar of v2 recognizes copies by a header of the mirror "
    "policy or by the suffix that Envoy adds to the host. It tags them for its app (x-mirrored), and responds to "
    "mirrored payments itself."
)
CURL = ["curl -i localhost:{port}/mirroring", "curl -i localhost:{port}/", "curl -i -X POST localhost:{port}/payments"]

HOST = "orders.example.com:8080"


async def run(stage: Stage, scenario: Scenario) -> None:
    v1, v2 = stage.upstreams["v1"], stage.upstreams["v2"]
    for how, path in [("by header mark", "/mirroring"), ("by host suffix", "/orders")]:
        # A client's own mark has no effect.
        response = await stage.ask(path, host=HOST, headers=[("x-mirrored", "true")])
        scenario.check(f"{how}: response", "v1 1.0-SNAPSHOT", f"{served(response)} {response.get('x-app-version')}")
        scenario.check(f"{how}: request at v1", f"x-mirrored: none, host: {HOST}", tags(await arrived(v1)))
        scenario.check(f"{how}: request at v2", f"x-mirrored: true, host: {HOST}", tags(await arrived(v2)))
    response = await stage.ask("/payments", host=HOST, method="POST")
    scenario.check("POST /payments: response", "v1", served(response))
    scenario.check("POST /payments: requests at v1", 1, len(await arrived(v1)))
    metric = 'pinion_mirrored_total{pin_outcome="blocked"}'
    await until(lambda: stage.envoy.metrics().get(metric) == 1)
    scenario.check("POST /payments: requests at v2", 0, len(v2.seen()))
    mirrored = {name: int(value) for name, value in stage.envoy.metrics().items() if "mirrored" in name}
    expected = {'pinion_mirrored_total{pin_outcome="tagged"}': 2, metric: 1}
    for name, value in expected.items():
        scenario.check(name, value, mirrored.get(name))


async def arrived(upstream) -> list[dict]:
    """The requests at an upstream. Waits for the first one, because a copy may be late."""
    seen: list[dict] = []
    await until(lambda: seen.extend(upstream.seen()) or seen)
    return seen


async def until(done) -> None:
    end = time.monotonic() + 20
    while not done() and time.monotonic() < end:
        await asyncio.sleep(0.02)


def tags(requests: list[dict]) -> str:
    headers = [dict(request["headers"]) for request in requests]
    shown = [f"x-mirrored: {given.get('x-mirrored', 'none')}, host: {given['host']}" for given in headers]
    return "; ".join(shown)
