"""Labels of metrics, gauges during live updates, and access logs."""

import asyncio
import json
import re
import time

from harness import bootstrap as make
from harness.client import Connection
from harness.envoy import ROOT, Envoy, load, walk
from harness.upstream import Upstream

UPDATES = 200


def resources(config: dict) -> dict:
    """A discovered configuration of the filter."""
    discovered = load(ROOT / "envoy" / "canary.pinion.yaml")
    walk(discovered, lambda node: node.update(value=json.dumps(config)) if "value" in node else None)
    return discovered


def config(*apps: dict) -> dict:
    return {"apps": list(apps)}


def app(name: str, weight: float, second: str) -> dict:
    versions = [{"name": "v1"}, {"name": second, "weight": weight}]
    return {"name": name, "hosts": [f"{name}.org"], "versions": versions, "stable": "v1"}


def gauges(envoy: Envoy) -> dict[str, float]:
    """The gauges that are not 0, by `app version`."""
    found = {}
    for name, value in envoy.metrics().items():
        if name.startswith("pinion_share_slots") and value:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
            found[f"{labels['pin_app']} {labels['pin_version']}"] = value
    return found


def wait_for(expected: dict, envoy: Envoy) -> None:
    end = time.monotonic() + 60
    while (seen := gauges(envoy)) != expected:
        assert time.monotonic() < end, f"expected {expected}, saw {seen}"
        time.sleep(0.05)


def test_gauges_are_right_during_200_updates_while_an_old_configuration_serves(binary, start):
    upstream = start(Upstream("version-1"))
    clusters = {f"version-{i}": upstream.port for i in (1, 2, 3)}
    bootstrap = load(ROOT / "envoy" / "canary.yaml")
    # A second plugin in the same VM. The first one must not touch its gauges.
    other = make.listener("other", [make.pinion(config(app("steady", 25, "v2")))], [make.to("version-1")])
    bootstrap["static_resources"]["listeners"].append(other)
    envoy = Envoy(bootstrap, binary=binary, clusters=clusters, concurrency=2)
    envoy.update(resources(config(app("shop", 10, "v2"), app("gone", 10, "v2"))))
    start(envoy)
    steady = {"steady v1": 75_000, "steady v2": 25_000}
    wait_for({**steady, "shop v1": 90_000, "shop v2": 10_000, "gone v1": 90_000, "gone v2": 10_000}, envoy)

    async def updates() -> None:
        # A running request keeps its old configuration.
        reader, writer = await asyncio.open_connection("127.0.0.1", envoy.port("edge"))
        writer.write(b"POST / HTTP/1.1\r\nhost: shop.org\r\ncontent-length: 5\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)
        for i in range(UPDATES):
            envoy.update(resources(config(app("shop", i % 100, f"v{i % 3 + 2}"))))
            await asyncio.sleep(0.02)
        last = UPDATES - 1
        share = last % 100 * 1000
        expected = {**steady, "shop v1": 100_000 - share, f"shop v{last % 3 + 2}": share}
        await asyncio.to_thread(wait_for, expected, envoy)
        writer.write(b"hello")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        assert head.startswith(b"HTTP/1.1 200")
        writer.close()
        # The old configuration ends now and changes no gauge.
        await asyncio.sleep(0.5)
        assert gauges(envoy) == expected

    asyncio.run(updates())
    # A refused configuration changes nothing. The gauges of a removed app become 0.
    before = gauges(envoy)
    envoy.update(resources(config({"name": "shop", "versions": []})))
    end = time.monotonic() + 30
    while "configuration refused" not in envoy.log() and time.monotonic() < end:
        time.sleep(0.05)
    assert gauges(envoy) == before
    envoy.update(resources(config()))
    wait_for(steady, envoy)


def test_gauges_are_right_after_a_rollback_and_a_removal_while_an_old_configuration_serves(binary, start):
    upstream = start(Upstream("version-1"))
    clusters = {f"version-{i}": upstream.port for i in (1, 2, 3)}
    envoy = Envoy(load(ROOT / "envoy" / "canary.yaml"), binary=binary, clusters=clusters)
    before = resources(config(app("shop", 10, "v2")))
    envoy.update(before)
    start(envoy)
    shop = {"shop v1": 90_000, "shop v2": 10_000}

    async def roll() -> None:
        # Envoy keeps the configuration of a running request, and reuses it after a rollback.
        _, writer = await asyncio.open_connection("127.0.0.1", envoy.port("edge"))
        writer.write(b"POST / HTTP/1.1\r\nhost: shop.org\r\ncontent-length: 5\r\n\r\n")
        await writer.drain()
        await asyncio.to_thread(wait_for, shop, envoy)
        for resource, expected in [
            (resources(config(app("shop", 50, "v2"))), {"shop v1": 50_000, "shop v2": 50_000}),
            (before, shop),
            (resources(config()), {}),
            (before, shop),
        ]:
            envoy.update(resource)
            await asyncio.to_thread(wait_for, expected, envoy)
            await asyncio.sleep(0.3)
            assert gauges(envoy) == expected
        writer.close()
        await asyncio.sleep(0.3)
        assert gauges(envoy) == shop

    asyncio.run(roll())


def test_no_byte_of_a_client_enters_a_metric_name(binary, start):
    upstream = start(Upstream("version-1"))
    clusters = {f"version-{i}": upstream.port for i in (1, 2, 3)}
    envoy = start(Envoy(load(ROOT / "envoy" / "canary.yaml"), binary=binary, clusters=clusters))
    evil = "evil;.;pin_app=.=evil"

    async def send() -> None:
        for headers in (
            [("x-app-version", evil), ("x-preview", evil)],
            [("cookie", f"pinion-website={evil}~1~0~1")],
            [("cookie", f"pinion-website=evil~{int(time.time())}~0~1")],
        ):
            await Connection(envoy.port()).request(f"/{evil}", host="evil.org", headers=headers)

    asyncio.run(send())
    ours = [line for line in envoy.admin("/stats").splitlines() if "pinion" in line]
    assert len(ours) >= 5, ours
    assert not [line for line in ours if "evil" in line]


def test_two_plugins_in_one_chain_share_the_access_log(binary, start):
    upstream = start(Upstream("upstream"))
    filters = [
        make.pinion({"accessLog": True, **config(app(name, 0, "v2") | {"hosts": ["*"]})}) for name in ("first", "second")
    ]
    route = make.to("upstream")
    value = "%FILTER_STATE(wasm.pinion_app:PLAIN)%"
    route["response_headers_to_add"] = [{"header": {"key": "x-seen", "value": value}}]
    listener = make.listener("edge", filters, [route])
    envoy = start(Envoy(make.bootstrap([listener], [make.cluster("upstream", upstream.port)]), binary=binary))
    response = asyncio.run(Connection(envoy.port()).request())
    assert (response.status, response.get("x-seen")) == (200, "second")
