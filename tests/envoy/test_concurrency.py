"""With several workers no client flips, and the counters add up."""

import asyncio
from collections import Counter

from harness import bootstrap as make
from harness.client import Browser
from harness.envoy import Envoy
from harness.upstream import Upstream

CLIENTS, REQUESTS, WORKERS = 500, 20, 4

CONFIG = {
    "apps": [
        {
            "name": "shop",
            "versions": [{"name": "v1"}, {"name": "v2", "weight": 30}, {"name": "v3", "weight": 20}],
            "stable": "v1",
        }
    ]
}


def test_no_client_flips_over_four_workers_and_the_counters_add_up(binary, start):
    upstreams = {name: start(Upstream(name)) for name in ("v1", "v2", "v3")}
    routes = [make.to(name, x_app_version=name) for name in upstreams]
    clusters = [make.cluster(name, upstream.port) for name, upstream in upstreams.items()]
    bootstrap = make.bootstrap([make.listener("edge", [make.pinion(CONFIG)], routes)], clusters)
    envoy = start(Envoy(bootstrap, binary=binary, concurrency=WORKERS))
    port = envoy.port()
    gate = asyncio.Semaphore(40)

    async def visit() -> list[str]:
        browser = Browser(port)
        seen = []
        for _ in range(REQUESTS):
            # Each request has a new connection, so that a client reaches all workers.
            async with gate:
                response = await browser.request()
                await browser.close()
            assert response.status == 200
            version = response.echo().version
            assert response.get("x-app-version") == version
            seen.append(version)
        return seen

    async def all_visits() -> list[list[str]]:
        return await asyncio.gather(*(visit() for _ in range(CLIENTS)))

    visits = asyncio.run(all_visits())
    flipped = [seen for seen in visits if len(set(seen)) != 1]
    assert not flipped, f"{len(flipped)} of {CLIENTS} clients flipped: {flipped[:3]}"
    homes = Counter(seen[0] for seen in visits)
    assert set(homes) == set(upstreams)
    expected = {}
    for version, clients in homes.items():
        for reason, count in (("draw", clients), ("pin", clients * (REQUESTS - 1))):
            labels = f'pin_app="shop",pin_version="{version}",pin_reason="{reason}"'
            expected[f"pinion_requests_total{{{labels}}}"] = count
    counted = {name: value for name, value in envoy.metrics().items() if name.startswith("pinion_requests_total")}
    assert counted == expected
    used = envoy.admin("/stats?filter=listener.*worker.*downstream_cx_total").strip().splitlines()
    busy = [line for line in used if not line.endswith(" 0")]
    assert len(busy) == WORKERS, used
