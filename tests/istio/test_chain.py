"""A chain of services: the edge's decision holds at all hops."""

import asyncio
import json
from collections import Counter

from mesh import about

CLIENTS, TIMES = 300, 3


def test_chain(mesh, row):
    running = mesh("chain", calls={"web": "stock"})

    async def walk() -> list[list[tuple[str, str]]]:
        async def one() -> list[tuple[str, str]]:
            browser, seen = running.browser(), []
            for _ in range(TIMES):
                response = await browser.request(host="web.example.com")
                said = json.loads(response.body)
                assert said["next"]["status"] == 200, said
                version = said["version"].removeprefix("web-")
                assert response.get("x-app-version") == said["next"]["x-app-version"] == version
                seen.append((version, said["next"]["version"].removeprefix("stock-")))
            await browser.close()
            return seen

        return [await one() for _ in range(CLIENTS)]

    visits = asyncio.run(walk())
    assert {pair for seen in visits for pair in seen} == {("v1", "v1"), ("v2", "v2")}
    assert all(len(set(seen)) == 1 for seen in visits)
    first = Counter(seen[0][0] for seen in visits)
    assert about(0.5, first["v2"], CLIENTS), first
    decided = running.sidecars["web-v2"].metrics()
    key = 'pinion_requests_total{pin_app="stock",pin_version="v2",pin_reason="inbound"}'
    assert decided.get(key), decided
    row(
        name="chain",
        requests=running.requests,
        **{"with": 0},
        asserted=f"gateway, web and stock agree on all {CLIENTS * TIMES}; {dict(first)} of 50/50",
    )
