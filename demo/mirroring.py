"""Mirrored requests: told from real ones, and kept from what must not happen twice."""

import asyncio
import time

from .report import Scenario
from .stage import Stage, served

NAME = "mirroring"
TITLE = "Mirroring"
ABOUT = (
    "v1 answers; v2 gets a copy of every request, fire and forget. The sidecar beside v2 tells its app which requests are "
    "copies (x-mirrored), by a header that the mirror policy sets or by the suffix that Envoy adds to the host, and "
    "answers mirrored payments itself."
)
CURL = ["curl -i localhost:{port}/mirroring", "curl -i localhost:{port}/", "curl -i -X POST localhost:{port}/payments"]

HOST = "orders.example.com:8080"


async def run(stage: Stage, scenario: Scenario) -> None:
    v1, v2 = stage.upstreams["v1"], stage.upstreams["v2"]
    for how, path in [("by header mark", "/mirroring"), ("by host suffix", "/orders")]:
        # A client's own marks mean nothing.
        response = await stage.ask(path, host=HOST, headers=[("x-mirrored", "true")])
        scenario.check(f"{how}: who answers", "v1 1.0-SNAPSHOT", f"{served(response)} {response.get('x-app-version')}")
        scenario.check(f"{how}: what v1 is told", f"x-mirrored: nothing, host: {HOST}", told(await arrived(v1)))
        scenario.check(f"{how}: what v2 is told", f"x-mirrored: true, host: {HOST}", told(await arrived(v2)))
    response = await stage.ask("/payments", host=HOST, method="POST")
    scenario.check("POST /payments: who answers", "v1", served(response))
    scenario.check("POST /payments: v1 was asked", "1 time", f"{len(await arrived(v1))} time")
    metric = 'pinion_mirrored_total{pin_outcome="blocked"}'
    await until(lambda: stage.envoy.metrics().get(metric) == 1)
    scenario.check("POST /payments: v2 was asked", "0 times", f"{len(v2.seen())} times")
    mirrored = {name: int(value) for name, value in stage.envoy.metrics().items() if "mirrored" in name}
    expected = {'pinion_mirrored_total{pin_outcome="tagged"}': 2, metric: 1}
    for name, value in expected.items():
        scenario.check(name, value, mirrored.get(name))


async def arrived(upstream) -> list[dict]:
    """The requests that have reached an upstream, once there are any: a copy may be late."""
    seen: list[dict] = []
    await until(lambda: seen.extend(upstream.seen()) or seen)
    return seen


async def until(done) -> None:
    end = time.monotonic() + 20
    while not done() and time.monotonic() < end:
        await asyncio.sleep(0.02)


def told(requests: list[dict]) -> str:
    headers = [dict(request["headers"]) for request in requests]
    shown = [f"x-mirrored: {given.get('x-mirrored', 'nothing')}, host: {given['host']}" for given in headers]
    return "; ".join(shown)
