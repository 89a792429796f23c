"""A dark version and its testers, and Istio's own faults and circuit breakers on a pinned version."""

import asyncio
import time
from collections import Counter

import jwt

from harness.bootstrap import JWT_KEY
from istiod import until
from mesh import about, flips, served

HOW = {"host": "shop.example.com"}
TESTER = [("end-user", "tester")]


def token(key: bytes = JWT_KEY, **claims) -> list[tuple[str, str]]:
    body = {"iss": "testing@secure.istio.io", "sub": "somebody", "exp": int(time.time()) + 3600, **claims}
    return [("authorization", f"Bearer {jwt.encode(body, key, algorithm='HS256')}")]


def test_dark_launch(mesh, row):
    running = mesh("dark-launch")

    async def walk() -> list[list[str]]:
        for headers, expected in [
            (TESTER, "shop-v2"),
            ([("cookie", "group=tester")], "shop-v2"),
            (token(groups=["group1", "group2"]), "shop-v2"),
            (token(groups=["group2"]), "shop-v1"),
            ([("end-user", "somebody")], "shop-v1"),
            ([("x-app-version", "v2")], "shop-v1"),
            ([("cookie", "pinion-shop=v2~1795226466~0~1")], "shop-v1"),
        ]:
            response = await running.ask(headers=headers, **HOW)
            assert served(response) == expected, headers
            assert response.get("x-app-version") == expected.removeprefix("shop-")
        stranger = token(b"a key that is another, of forty-four letters", groups=["group1"])
        forged = await running.ask(headers=stranger, **HOW)
        assert (forged.status, forged.get("x-app-version")) == (401, None)
        # A user who was a tester for a while is still pinned to v1.
        browser = running.browser()
        seen = [served(await browser.request(headers=headers, **HOW)) for headers in ([], TESTER, [])]
        assert seen == ["shop-v1", "shop-v2", "shop-v1"]
        return await running.visits(500, 4, **HOW)

    visits = asyncio.run(walk())
    assert {version for seen in visits for version in seen} == {"shop-v1"}
    row(
        name="dark-launch",
        requests=running.requests,
        **{"with": flips(visits)},
        asserted="testers by header, cookie and claim reach v2, nobody else; a forged token gets 401",
    )


def test_a_fault_hits_only_testers(mesh, row):
    running = mesh("fault")

    async def walk() -> Counter[int]:
        assert Counter([(await running.ask(**HOW)).status for _ in range(200)]) == {200: 200}
        answers = [await running.ask(headers=TESTER, **HOW) for _ in range(400)]
        for each in answers:
            # Envoy's own response shows no version.
            assert each.get("x-app-version") == ("v2" if each.status == 200 else None)
            assert each.get("set-cookie") is None
        return Counter(each.status for each in answers)

    seen = asyncio.run(walk())
    assert seen.keys() == {200, 503} and about(0.5, seen[503], 400), seen
    row(name="fault", requests=running.requests, asserted=f"testers {dict(seen)}, 200 others none; no version on a 503")


def test_blue_green_by_host(mesh, row):
    running = mesh("by-host")

    async def walk() -> None:
        for host, expected in [("shop.example.com", "shop-v1"), ("test.shop.example.com", "shop-v2")]:
            for headers in ([], TESTER):
                response = await running.ask(host=host, headers=headers)
                assert (served(response), response.get("x-app-version")) == (expected, expected.removeprefix("shop-"))

    asyncio.run(walk())
    row(name="by-host", requests=running.requests, asserted="each host its version, x-app-version says it; testers too")


def test_a_circuit_breaker_on_v2(mesh, row):
    running = mesh("breaker")

    async def walk() -> None:
        assert served(await running.ask(headers=TESTER, **HOW)) == "shop-v2"

        async def ejected() -> bool:
            response = await running.ask("/status/503", headers=TESTER, **HOW)
            # A response of the app shows the app's version. A response of Envoy, without a healthy pod, shows none.
            assert response.status == 503
            return response.get("x-app-version") is None

        await until(ejected, lambda: running.gateway.admin("/clusters"))
        # v2 is out for all requests of its testers, and v1's clients are not affected.
        refused = await running.ask(headers=TESTER, **HOW)
        assert (refused.status, refused.get("x-app-version"), refused.get("set-cookie")) == (503, None, None)
        assert Counter([served(await running.ask(**HOW)) for _ in range(100)]) == {"shop-v1": 100}

        async def back() -> bool:
            return (await running.ask(headers=TESTER, **HOW)).status == 200

        await until(back, lambda: running.gateway.admin("/clusters"))

    asyncio.run(walk())
    row(name="breaker", requests=running.requests, asserted="v2 ejected after 503s, back later; 100 of 100 others on v1")
