"""Shares: paths outside of a split, rules of many kinds, and a canary with and without the plugin."""

import asyncio
from collections import Counter

from istiod import until
from mesh import about, per_1000, served

CLIENTS, TIMES = 1000, 4


def test_web_api(mesh, row):
    running = mesh("web-api")

    async def walk() -> list[list[str]]:
        for path in ("/", "/openapi", "/openapi/ui/"):
            seen = set()

            async def both(path=path, seen=seen) -> bool:
                response = await running.ask(path, host="api.example.com")
                seen.add(served(response))
                assert response.get("set-cookie") is None
                assert response.get("x-app-version") == served(response).removeprefix("web-api-")
                return len(seen) == 2

            await until(both, lambda path=path: f"{path} has one version only")
        missing = await running.ask("/web-api/v1/other", host="api.example.com")
        assert (missing.status, missing.get("x-app-version")) == (404, None)
        return await running.visits(CLIENTS, TIMES, "/web-api/v1/getmultiple", host="api.example.com")

    visits = asyncio.run(walk())
    shares = Counter(seen[0] for seen in visits)
    assert about(0.2, shares["web-api-v2"], CLIENTS), shares
    assert per_1000(visits) == 0
    row(
        name="web-api",
        requests=running.requests,
        **{"with": per_1000(visits)},
        asserted=f"/, /openapi, /openapi/ui/ unversioned, no cookie; getmultiple {dict(shares)} of 80/20",
    )


def test_website(mesh, row):
    running = mesh("website")
    how = {"host": "www.example.com"}

    async def walk() -> list[list[str]]:
        for headers, expected in [
            ([("x-preview", "version-3")], {"website-version-3"}),
            ([("x-region", "eu-west-1")], {"website-version-2"}),
            ([("x-region", "us-east-1"), ("x-app-version", "version-3")], {"website-version-1", "website-version-2"}),
            ([("x-region", "eu-west-1"), ("x-plan", "gold")], {"website-version-1", "website-version-3"}),
        ]:
            visits = await running.visits(100, 2, headers=headers, **how)
            assert {version for seen in visits for version in seen} == expected, headers
            assert per_1000(visits) == 0
        return await running.visits(CLIENTS, TIMES, **how)

    visits = asyncio.run(walk())
    shares = Counter(seen[0] for seen in visits)
    assert about(0.1, shares["website-version-2"], CLIENTS) and not shares["website-version-3"], shares
    assert per_1000(visits) == 0

    # The rollout continues: the clients of version-2 stay, and some clients of version-1 move.
    async def grow() -> None:
        clients = [running.browser() for _ in range(200)]
        before = [served(await each.request(**how)) for each in clients]
        versions = running.find("WasmPlugin", "pinion-edge")["spec"]["pluginConfig"]["apps"][0]["versions"]
        versions[1]["weight"] = 60
        running.apply()

        async def grown() -> bool:
            seen = Counter([served(await running.ask(**how)) for _ in range(40)])
            return seen["website-version-2"] > 12

        await until(grown, running.gateway.log)
        after = [served(await each.request(**how)) for each in clients]
        assert ("website-version-2", "website-version-1") not in set(zip(before, after))
        assert ("website-version-1", "website-version-2") in set(zip(before, after))
        for each in clients:
            await each.close()

    asyncio.run(grow())
    row(
        name="website",
        requests=running.requests,
        **{"with": 0},
        asserted=f"header, region, plan and split; {dict(shares)} of 90/10; at 60 % nobody goes back",
    )


def test_canary_with_the_plugin_and_with_weights_alone(mesh, row):
    running = mesh("canary")
    how = {"host": "shop.example.com"}
    visits = asyncio.run(running.visits(CLIENTS, TIMES, **how))
    shares = Counter(seen[0] for seen in visits)
    assert about(0.75, shares["shop-v2"], CLIENTS), shares
    assert per_1000(visits) == 0

    # The same shares by the weights of a VirtualService, without the plugin.
    plain = [each for each in running.documents if each["metadata"]["name"] != "pinion-edge"]
    service = running.find("VirtualService", "shop")
    routes = {each["name"]: each["route"][0] for each in service["spec"]["http"]}
    service["spec"]["http"] = [{"route": [{**routes["v1"], "weight": 25}, {**routes["v2"], "weight": 75}]}]
    running.apply(plain)

    async def without() -> bool:
        response = await running.ask(**how)
        return response.get("set-cookie") is None

    asyncio.run(until(without, running.gateway.log))
    # Clients may get the old configuration until all workers have removed the filter and got the new routes.
    beside = asyncio.run(running.visits(CLIENTS, TIMES, **how))
    expected = 2 * 0.25 * 0.75 * (TIMES - 1) * 1000
    assert 0.7 * expected < per_1000(beside) < 1.3 * expected, per_1000(beside)
    row(
        name="canary",
        requests=running.requests,
        **{"with": per_1000(visits), "without": per_1000(beside)},
        asserted=f"{dict(shares)} of 25/75; without: the same shares as weights of the VirtualService",
    )
