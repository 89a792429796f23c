"""Outlier detection on the real Envoy: what ejects a version, what does not, which version serves its clients, and how
it recovers."""

import asyncio
import re
import time

from harness import bootstrap as make
from harness.bootstrap import TYPE
from harness.client import Browser
from harness.envoy import Envoy, free_port
from harness.upstream import Upstream

ERRORS, BASE = 3, 2
NEWCOMERS = 5
"""The number of consecutive errors that eject, and the seconds of the first ejection."""

LONG = "60s"
"""Longer than a test."""


def app(name: str, base: str = LONG, versions: list[dict] | None = None, **detection) -> dict:
    """An app whose lower half of the slots belongs to v2."""
    versions = versions or [{"name": "v1"}, {"name": "v2", "weight": 50}]
    detection = {"consecutiveGatewayErrors": ERRORS, "baseEjectionTime": base, **detection}
    return {"name": name, "hosts": [name], "versions": versions, "stable": "v1", "outlierDetection": detection}


def counts(envoy: Envoy, name: str) -> dict[str, int]:
    """A counter by its labels, such as `shop v2 fallback`."""
    found = {}
    for metric, value in envoy.metrics().items():
        if metric.startswith(f"pinion_{name}{{"):
            found[" ".join(value for _, value in re.findall(r'pin_(\w+)="([^"]*)"', metric))] = int(value)
    return found


def pinned(port: int, app: str, version: str = "v2", slot: int = 0) -> Browser:
    """A client with a pin."""
    browser = Browser(port)
    browser.cookies[f"pinion-{app}"] = f"{version}~{int(time.time())}~0~{slot}"
    return browser


async def ask(browser: Browser, host: str, *headers: tuple[str, str]) -> str | int:
    """The version that served the request, or the status of an error."""
    response = await browser.request(host=host, headers=headers)
    if response.status != 200:
        return response.status
    version = response.echo().version
    assert response.get("x-app-version") == version and response.echo().all("x-app-version") == [version]
    return version


def test_a_failing_version_is_ejected_probed_by_one_request_and_recovers(binary, start):
    upstreams = {name: start(Upstream(name)) for name in ("v1", "v2")}
    v2 = upstreams["v2"]
    routes = [make.to(name, x_app_version=name) for name in upstreams]
    clusters = [make.cluster(name, upstream.port) for name, upstream in upstreams.items()]
    listener = make.listener("edge", [make.pinion({"apps": [app("shop", f"{BASE}s")]})], routes)
    envoy = start(Envoy(make.bootstrap([listener], clusters), binary=binary))
    port = envoy.port()

    async def until(browser: Browser, expected: str | int, ejected_at: float, term: int) -> float:
        """Sends requests until a trial happens, which must not be early. Returns the trial's time."""
        while True:
            before = time.time()
            served = await ask(browser, "shop")
            if served == expected:
                assert time.time() >= int(ejected_at) + term, "the trial was too early"
                return before
            assert served == "v1" and before < ejected_at + 30
            await asyncio.sleep(0.02)

    async def run() -> None:
        returning, pin = pinned(port, "shop"), pinned(port, "shop").cookies
        returning.cookies = dict(pin)
        elsewhere = pinned(port, "shop", "v1", 99_999)
        v2.fail(503)
        assert [await ask(returning, "shop") for _ in range(ERRORS - 1)] == [503] * (ERRORS - 1)
        v2.fail(0)
        assert await ask(returning, "shop") == "v2", "a success resets the count"
        v2.fail(503)
        assert [await ask(returning, "shop") for _ in range(ERRORS - 1)] == [503] * (ERRORS - 1)
        assert counts(envoy, "ejections_total") == {}
        # Times are whole seconds. An ejection at the start of a second leaves the most time for the checks.
        await asyncio.sleep(1 - time.time() % 1)
        ejected_at = time.time()
        assert await ask(returning, "shop") == 503
        v2.seen()
        # The stable version serves the clients of v2, and their pins do not change.
        assert await ask(returning, "shop") == "v1"
        assert await ask(elsewhere, "shop") == "v1"
        assert returning.cookies == pin
        # The ejected version gets no new clients.
        newcomer = Browser(port)
        for _ in range(NEWCOMERS):
            newcomer.cookies.clear()
            assert await ask(newcomer, "shop") == "v1"
            assert newcomer.cookies["pinion-shop"].startswith("v1~")
        given = dict(newcomer.cookies)
        assert await ask(newcomer, "shop") == "v1" and newcomer.cookies == given
        assert time.time() < int(ejected_at) + BASE, "this machine is too slow for so short an ejection"
        assert v2.seen() == []
        assert counts(envoy, "ejections_total") == {"shop v2": 1}
        seen = counts(envoy, "requests_total")
        assert seen["shop v2 pin"] == 2 * ERRORS and "shop v2 draw" not in seen
        # The returning client once, and the newcomers, some of whom drew a slot of v1 at once.
        assert seen["shop v1 fallback"] + seen.get("shop v1 draw", 0) == 1 + NEWCOMERS
        assert seen["shop v1 pin"] == 2, "only the clients with a pin to v1"
        # The trial fails, and the version is ejected for twice as long. The next trial succeeds.
        again_at = await until(returning, 503, ejected_at, BASE)
        assert len(v2.seen()) == 1
        assert counts(envoy, "ejections_total") == {"shop v2": 2}
        v2.fail(0)
        await until(returning, "v2", again_at, 2 * BASE)
        assert [await ask(browser, "shop") for browser in (returning, newcomer, elsewhere)] == ["v2", "v1", "v1"]
        assert returning.cookies == pin and newcomer.cookies == given
        assert counts(envoy, "ejections_total") == {"shop v2": 2}
        # The earlier ejections still count, because the version has not been healthy for as long.
        back_at = time.time()
        v2.fail(503)
        assert [await ask(returning, "shop") for _ in range(ERRORS)] == [503] * ERRORS
        assert await ask(returning, "shop") == "v1"
        said = re.findall(r"version v2 (?:is|has) (.*)", envoy.log())
        terms = [f"ejected for {BASE * i} s: too many consecutive errors" for i in (1, 2, 3)]
        assert said[:3] == [*terms[:2], "recovered"]
        assert said[3:] == terms[2:] or time.time() > back_at + BASE / 2
        for browser in (returning, newcomer, elsewhere):
            await browser.close()

    asyncio.run(run())


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def test_failures_that_envoy_reports_itself_count(binary, start):
    upstream = start(Upstream("v1"))
    expected = {"down": 503, "none": 503, "unknown": 503, "silent": 504, "stuck": 504, "reset": 503}

    async def run() -> None:
        servers = [await asyncio.start_server(serve, "127.0.0.1", 0) for serve in (silent, reset)]
        silent_port, reset_port = (server.sockets[0].getsockname()[1] for server in servers)
        ports = {"down": free_port(), "none": None, "silent": silent_port, "stuck": silent_port, "reset": reset_port}
        routes = [make.to(name, x_app_version="v2", x_test_by=name) for name in expected]
        for route in routes:
            route["route"]["timeout"] = "0.2s"
            match route["route"]["cluster"]:
                case "unknown":
                    del route["route"]["cluster"]
                    route["route"]["cluster_header"] = "x-test-by"
                case "stuck":
                    route["route"]["timeout"] = "5s"
                    route["route"]["retry_policy"] = {"retry_on": "reset", "per_try_timeout": "0.1s"}
        listener = make.listener("edge", [make.pinion({"apps": [*map(app, expected)]})], [*routes, make.to("v1")])
        clusters = [make.cluster(name, port) for name, port in {**ports, "v1": upstream.port}.items()]
        envoy = await asyncio.to_thread(start, Envoy(make.bootstrap([listener], clusters), binary=binary))
        for name, status in expected.items():
            browser = pinned(envoy.port(), name)
            seen = [await ask(browser, name, ("x-test-by", name)) for _ in range(ERRORS + 1)]
            assert seen == [status] * ERRORS + ["v1"], name
            await browser.close()
        assert counts(envoy, "ejections_total") == {f"{name} v2": 1 for name in expected}
        for server in servers:
            server.close()

    asyncio.run(run())


def filters() -> dict[str, dict]:
    """HTTP filters behind this one that respond themselves. Their responses do not count for a version."""
    always = {"default_value": {"numerator": 100}}
    deny = {"header": {"name": "x-test-deny", "string_match": {"exact": "1"}}}
    rules = {"action": "DENY", "policies": {"all": {"permissions": [deny], "principals": [{"any": True}]}}}
    configs = {
        "fault": ("fault.v3.HTTPFault", {"abort": {"header_abort": {}, "percentage": {"numerator": 100}}}),
        "rbac": ("rbac.v3.RBAC", {"rules": rules}),
        "ext_authz": (
            "ext_authz.v3.ExtAuthz",
            {
                "transport_api_version": "V3",
                "http_service": {"server_uri": {"uri": "http://authz", "cluster": "down", "timeout": "0.2s"}},
                "status_on_error": {"code": 503},
            },
        ),
        "local_ratelimit": (
            "local_ratelimit.v3.LocalRateLimit",
            {
                "stat_prefix": "limit",
                "status": {"code": 503},
                "token_bucket": {"max_tokens": 1, "fill_interval": "3600s"},
                "filter_enabled": always,
                "filter_enforced": always,
            },
        ),
    }
    return {
        name: {
            "name": f"envoy.filters.http.{name}",
            "typed_config": {"@type": f"{TYPE}.extensions.filters.http.{kind}", **config},
        }
        for name, (kind, config) in configs.items()
    }


NEVER = {
    "fault": (503, [("x-envoy-fault-abort-request", "503")]),
    "rbac": (403, [("x-test-deny", "1")]),
    "ext-authz": (503, []),
    "local-ratelimit": (503, []),
    "direct": (503, [("x-test-by", "direct")]),
    "overflow": (503, [("x-test-by", "overflow")]),
    "grpc": ("v2", [("content-type", "application/grpc"), ("x-test-answer", '[["grpc-status", "14"]]')]),
    "own-500": (500, []),
    "own-404": (404, []),
    "aborted": (None, [("x-test-by", "silent")]),
}
"""By app: the response that its client gets, and the headers that the client sends."""


def test_failures_that_no_version_causes_do_not_count(binary, start):
    upstreams = {name: start(Upstream(name)) for name in ("v1", "v2")}
    # With consecutive5xxErrors, a 500 of the version counts too.
    apps = [*map(app, NEVER), app("strict", consecutiveGatewayErrors=0, consecutive5xxErrors=ERRORS)]
    config = {"apps": apps}

    async def abort(port: int, host: str, headers: list[tuple[str, str]]) -> None:
        """Closes the connection before the response."""
        cookie = ("cookie", f"pinion-{host}=v2~{int(time.time())}~0~0")
        lines = "".join(f"{name}: {value}\r\n" for name, value in [("host", host), cookie, *headers])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/1.1\r\n{lines}\r\n".encode())
        await asyncio.sleep(0.2)
        writer.close()

    async def run() -> None:
        reached: list[bytes] = []

        async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.append(await reader.readuntil(b"\r\n\r\n"))
            await silent(reader, writer)

        server = await asyncio.start_server(waiting, "127.0.0.1", 0)
        direct = {**make.to("", x_test_by="direct"), "direct_response": {"status": 503}}
        del direct["route"]
        routes = [
            direct,
            *(make.to(name, x_app_version="v2", x_test_by=name) for name in ("overflow", "silent")),
            *(make.to(name, x_app_version=name) for name in upstreams),
        ]
        ports = {name: upstream.port for name, upstream in upstreams.items()}
        ports |= {"down": free_port(), "overflow": upstreams["v2"].port, "silent": server.sockets[0].getsockname()[1]}
        clusters = [make.cluster(name, port) for name, port in ports.items()]
        clusters[-2]["circuit_breakers"] = {"thresholds": [{"max_pending_requests": 0}]}
        listeners = [
            make.listener(name.replace("_", "-"), [make.pinion(config), *own], routes)
            for name, own in {"plain": [], **{name: [each] for name, each in filters().items()}}.items()
        ]
        envoy = await asyncio.to_thread(start, Envoy(make.bootstrap(listeners, clusters), binary=binary))
        plain = envoy.port("plain")
        behind = {"fault", "rbac", "ext-authz", "local-ratelimit"}
        for name, (expected, headers) in NEVER.items():
            port = envoy.port(name) if name in behind else plain
            upstreams["v2"].fail(int(name.removeprefix("own-")) if name.startswith("own-") else 0)
            browser = pinned(port, name)
            if name == "local-ratelimit":
                assert await ask(browser, name) == "v2", "the only request that the limit lets pass"
            for _ in range(ERRORS + 1):
                if expected is None:
                    await abort(port, name, headers)
                else:
                    assert await ask(browser, name, *headers) == expected, name
            await browser.close()
        upstreams["v2"].fail(0)
        assert len(reached) == ERRORS + 1
        assert counts(envoy, "ejections_total") == {}
        # All apps work, and each of their versions can be ejected.
        for name in [*NEVER, "strict"]:
            browser = pinned(plain, name)
            assert await ask(browser, name) == "v2", name
            upstreams["v2"].fail(500 if name == "strict" else 503)
            seen = [await ask(browser, name) for _ in range(ERRORS + 1)]
            assert seen[:-1] == [500 if name == "strict" else 503] * ERRORS and seen[-1] == "v1", name
            upstreams["v2"].fail(0)
            await browser.close()
        assert counts(envoy, "ejections_total") == {f"{name} v2": 1 for name in [*NEVER, "strict"]}
        server.close()

    asyncio.run(run())
