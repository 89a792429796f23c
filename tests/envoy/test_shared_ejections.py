"""All workers and listeners of a proxy share a version's health, but plugins do not; and chains of fallbacks."""

import asyncio
import re
import time
from collections import Counter

import yaml

from harness import bootstrap as make
from harness.client import Browser, Connection
from harness.envoy import Envoy
from harness.upstream import Upstream

ERRORS = 3
WORKERS, CALLERS = 4, 12
MAX = 3
"""The longest ejection under load, in seconds. The first one takes one second."""
LOAD_SECONDS = 8


def config(versions: list[dict], base: str = "60s", **detection) -> dict:
    detection = {"consecutiveGatewayErrors": ERRORS, "baseEjectionTime": base, **detection}
    return {"apps": [{"name": "shop", "versions": versions, "stable": "v1", "outlierDetection": detection}]}


HALVES = [{"name": "v1"}, {"name": "v2", "weight": 50}]


def plugin(name: str, config: dict) -> dict:
    """The filter as a plugin with this name."""
    made = make.pinion(config)
    made["typed_config"]["config"]["name"] = name
    return made


def started(binary, start, names: tuple[str, ...], filters: dict[str, list[dict]], **how) -> tuple[Envoy, dict]:
    upstreams = {name: start(Upstream(name)) for name in names}
    routes = [make.to(name, x_app_version=name) for name in upstreams]
    clusters = [make.cluster(name, upstream.port) for name, upstream in upstreams.items()]
    listeners = [make.listener(name, chain, routes) for name, chain in filters.items()]
    return start(Envoy(make.bootstrap(listeners, clusters), binary=binary, **how)), upstreams


def counts(envoy: Envoy, name: str) -> dict[str, int]:
    """A counter of the app by its other labels, such as `v2 fallback`."""
    found = {}
    for metric, value in envoy.metrics().items():
        if metric.startswith(f"pinion_{name}{{"):
            labels = dict(re.findall(r'pin_(\w+)="([^"]*)"', metric))
            found[" ".join(value for label, value in labels.items() if label != "app")] = int(value)
    return found


def pin(version: str, slot: int) -> tuple[str, str]:
    return "cookie", f"pinion-shop={version}~{int(time.time())}~0~{slot}"


def times(count: int, port: int, *headers: tuple[str, str]) -> list[str | int]:
    """Sends the request `count` times. Returns the versions that served, or the statuses of errors."""

    async def send() -> list[str | int]:
        browser, seen = Browser(port), []
        for _ in range(count):
            response = await browser.request(headers=headers)
            seen.append(response.echo().version if response.status == 200 else response.status)
            assert response.all("set-cookie") == []
        await browser.close()
        return seen

    return asyncio.run(send())


def test_a_chain_of_fallbacks_ends_at_the_stable_version_which_is_never_ejected(binary, start):
    versions = [{"name": "v1"}, {"name": "v2", "weight": 30}, {"name": "v3", "weight": 30, "fallback": "v2"}]
    chain = {"edge": [make.pinion(config(versions))]}
    envoy, upstreams = started(binary, start, ("v1", "v2", "v3"), chain)
    port = envoy.port()
    # v2 has the lowest slots, v3 the highest.
    on = {"v1": pin("v1", 50_000), "v2": pin("v2", 0), "v3": pin("v3", 99_999)}
    assert [times(1, port, on[version]) for version in on] == [["v1"], ["v2"], ["v3"]]
    upstreams["v3"].fail(503)
    assert times(ERRORS + 2, port, on["v3"]) == [503] * ERRORS + ["v2"] * 2
    upstreams["v2"].fail(502)
    # Errors that v3's clients get from v2 count for v2.
    assert times(ERRORS + 2, port, on["v3"]) == [502] * ERRORS + ["v1"] * 2
    assert times(1, port, on["v2"]) == ["v1"]
    assert counts(envoy, "ejections_total") == {"v2": 1, "v3": 1}
    before = {"v1 pin": 1, "v2 pin": 1, "v3 pin": 1 + ERRORS}
    assert counts(envoy, "requests_total") == before | {"v2 fallback": 2 + ERRORS, "v1 fallback": 3}
    # No version takes over the stable version's clients, so they still go there.
    upstreams["v1"].fail(504)
    assert times(3 * ERRORS, port, on["v1"]) == [504] * 3 * ERRORS
    upstreams["v1"].fail(0)
    assert times(1, port, on["v1"]) == ["v1"]
    assert counts(envoy, "ejections_total") == {"v2": 1, "v3": 1}


def test_a_fallback_without_a_share_serves_no_client(binary, start):
    """A stable version without a share may not run any more, so the failing version keeps its clients."""
    versions = [{"name": "v1"}, {"name": "v2", "weight": 100}]
    envoy, upstreams = started(binary, start, ("v1", "v2"), {"edge": [make.pinion(config(versions))]})
    upstreams["v2"].fail(503)
    assert times(3 * ERRORS, envoy.port(), pin("v2", 0)) == [503] * 3 * ERRORS
    upstreams["v2"].fail(0)
    assert times(1, envoy.port(), pin("v2", 0)) == ["v2"]
    assert upstreams["v1"].seen() == []


def test_clients_of_a_rule_or_an_override_also_fall_back_from_an_ejected_version(binary, start):
    given = config([*HALVES, {"name": "dark", "weight": 0}])
    given["apps"][0] |= {
        "override": {"header": "x-version-override", "allow": "any"},
        "rules": [{"match": [{"headers": {"end-user": {"exact": "tester"}}}], "version": "dark"}],
    }
    envoy, upstreams = started(binary, start, ("v1", "v2", "dark"), {"edge": [make.pinion(given)]})
    for upstream in ("v2", "dark"):
        upstreams[upstream].fail(503)
    for forced in [("x-version-override", "v2"), ("end-user", "tester")]:
        assert times(ERRORS + 1, envoy.port(), forced) == [503] * ERRORS + ["v1"]
    expected = {"v2 override": ERRORS, "dark rule": ERRORS, "v1 fallback": 2}
    assert counts(envoy, "requests_total") == expected


def test_listeners_of_one_plugin_share_ejections_and_two_plugins_do_not(binary, start):
    given = config(HALVES)
    chains = {name: [plugin(name.partition("-")[0], given)] for name in ("one-a", "one-b", "two")}
    envoy, upstreams = started(binary, start, ("v1", "v2"), chains)
    upstreams["v2"].fail(503)
    assert times(ERRORS + 1, envoy.port("one-a"), pin("v2", 0)) == [503] * ERRORS + ["v1"]
    assert times(1, envoy.port("one-b"), pin("v2", 0)) == ["v1"]
    assert times(ERRORS + 1, envoy.port("two"), pin("v2", 0)) == [503] * ERRORS + ["v1"]
    assert counts(envoy, "ejections_total") == {"v2": 2}


def earliest(count: int, ejected: int) -> list[int]:
    """The earliest times of the trials, in whole seconds: after terms of 1, 2, 3 … seconds, at most MAX."""
    at, found = ejected, []
    for i in range(count):
        at += min(i + 1, MAX)
        found.append(at)
    return found


def test_under_load_at_most_one_trial_reaches_a_failing_version_in_each_term(binary, start):
    given = config(HALVES, "1s", maxEjectionTime=f"{MAX}s")
    chains = {name: [plugin("one", given)] for name in ("left", "right")}
    envoy, upstreams = started(binary, start, ("v1", "v2"), chains, concurrency=WORKERS)
    upstreams["v2"].fail(503)
    ports = [envoy.port(name) for name in chains]
    errors: list[float] = []
    served: Counter = Counter()

    async def call(number: int, end: float) -> None:
        """Sends requests on new connections, so that they reach all workers."""
        while time.time() < end:
            connection = Connection(ports[number % 2])
            response = await connection.request(headers=[pin("v2", 0), ("x-sent", str(time.time()))])
            await connection.close()
            served[response.status] += 1
            if response.status == 503:
                errors.append(time.time())

    async def load() -> float:
        end = time.time() + LOAD_SECONDS
        await asyncio.gather(*(call(i, end) for i in range(CALLERS)))
        return time.time()

    end = asyncio.run(load())
    arrivals = upstreams["v2"].seen()
    arrived = sorted(request["at"] for request in arrivals)
    # After the last error that ejects, each later request that reaches the version is a trial.
    known = sorted(errors)[ERRORS - 1]
    trials = sorted(request["at"] for request in arrivals if float(dict(request["headers"])["x-sent"]) > known)
    possible = [at for at in earliest(100, int(arrived[ERRORS - 1])) if at <= end]
    assert 2 <= len(trials) <= len(possible), (trials, possible)
    for trial, at in zip(trials, possible):
        assert trial >= at, (trials, possible)
    # The other requests were in flight at the ejection: at most one of each caller.
    assert len(arrived) - len(trials) <= ERRORS - 1 + CALLERS
    assert served[503] == len(arrived) and served[200] > 10 * served[503], served
    assert counts(envoy, "ejections_total") == {"v2": 1 + len(trials)}
    used = envoy.admin("/stats?filter=listener.*worker.*downstream_cx_total").strip().splitlines()
    assert len([line for line in used if not line.endswith(" 0")]) == WORKERS, used


def test_a_trial_whose_client_disconnects_is_replaced_by_another(binary, start):
    """It proves nothing about the version, so the version neither recovers nor is ejected for longer."""
    given = config(HALVES, "1s")

    async def run() -> None:
        reached = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            reached.set()
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        upstreams = {name: start(Upstream(name)) for name in ("v1", "v2")}
        ports = {name: upstream.port for name, upstream in upstreams.items()}
        clusters = [make.cluster(name, port) for name, port in ports.items()]
        clusters.append(make.cluster("silent", server.sockets[0].getsockname()[1]))
        slow = make.to("silent", x_app_version="v2", x_test_by="silent")
        routes = [slow, *(make.to(name, x_app_version=name) for name in upstreams)]
        listener = make.listener("edge", [make.pinion(given)], routes)
        envoy = await asyncio.to_thread(start, Envoy(make.bootstrap([listener], clusters), binary=binary))
        port, pinned = envoy.port(), pin("v2", 0)
        upstreams["v2"].fail(503)
        assert (await asyncio.to_thread(times, ERRORS, port, pinned)) == [503] * ERRORS
        upstreams["v2"].fail(0)
        await asyncio.sleep(1.1)
        # At the start of a second, so that the next trial is nearly a second away.
        await asyncio.sleep(1 - time.time() % 1)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/1.1\r\nhost: shop\r\ncookie: {pinned[1]}\r\nx-test-by: silent\r\n\r\n".encode())
        tried = int(time.time())
        await asyncio.wait_for(reached.wait(), 20)
        writer.close()
        served, give_up = "v1", time.time() + 20
        while served == "v1":
            assert time.time() < give_up, "no other trial happened"
            (served,) = await asyncio.to_thread(times, 1, port, pinned)
            await asyncio.sleep(0.02)
        assert served == "v2" and time.time() >= tried + 1
        assert counts(envoy, "ejections_total") == {"v2": 1}
        server.close()

    asyncio.run(run())


def test_an_update_does_not_change_an_ejection(binary, start, tmp_path):
    path = tmp_path / "pinion.yaml"
    path.write_text(yaml.safe_dump(make.resource(config(HALVES))))
    envoy, upstreams = started(binary, start, ("v1", "v2"), {"edge": [make.discovered(path)]})
    upstreams["v2"].fail(503)
    assert times(ERRORS + 1, envoy.port(), pin("v2", 0)) == [503] * ERRORS + ["v1"]
    upstreams["v2"].fail(0)

    def label() -> str | None:
        return asyncio.run(Connection(envoy.port()).request(headers=[pin("v1", 99_999)])).get("x-app-version")

    envoy.update(make.resource(config([{"name": "v1", "label": "new"}, {"name": "v2", "weight": 60}])))
    give_up = time.monotonic() + 30
    while label() != "new":
        assert time.monotonic() < give_up, "the update did not become active"
        time.sleep(0.02)
    assert times(3, envoy.port(), pin("v2", 0)) == ["v1"] * 3
    assert counts(envoy, "ejections_total") == {"v2": 1}
    assert upstreams["v2"].seen()[ERRORS:] == []
