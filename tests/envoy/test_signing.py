"""Signed pins between Envoys that share keys."""

import asyncio
import json
import time
from pathlib import Path

import yaml

from harness import bootstrap as make
from harness.client import Browser
from harness.envoy import Envoy
from harness.seals import sealed
from harness.upstream import Upstream

CLIENTS = 40
TTL = 16
"""Seconds. Even a busy machine sends a request of each client in each half of it."""


def config(*ids: str) -> dict:
    keys = [{"id": name, "env": make.KEYS[name]} for name in ids]
    versions = [{"name": "v1"}, {"name": "v2", "weight": 50}]
    app = {"name": "shop", "versions": versions, "stable": "v1", "pin": {"cookie": {"ttl": f"{TTL}s"}}}
    return {"keys": keys, "apps": [app]}


def test_keys_are_rotated_over_two_envoys_without_losing_a_pin(binary, start, tmp_path: Path):
    upstream = start(Upstream("upstream"))
    envoys = []
    for name in ("first", "second"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(make.resource(config("k0"))))
        listener = make.listener("edge", [make.discovered(path)], [make.to("upstream")])
        bootstrap = make.bootstrap([listener], [make.cluster("upstream", upstream.port)])
        envoys.append(start(Envoy(bootstrap, binary=binary)))

    def take(envoy: Envoy, *ids: str) -> None:
        taken = envoy.log().count("configuration ")
        envoy.update(make.resource(config(*ids)))
        end = time.monotonic() + 30
        # The log has one line for each VM.
        while envoy.log().count("configuration ") < taken + 3:
            assert time.monotonic() < end, envoy.log()
            time.sleep(0.02)

    clients = [Browser(0) for _ in range(CLIENTS)]
    homes: dict[int, str] = {}

    async def visit() -> None:
        for envoy in envoys:
            for i, client in enumerate(clients):
                await client.close()
                client.connection.port = envoy.port()
                response = await client.request()
                (version,) = response.echo().all("x-app-version")
                assert homes.setdefault(i, version) == version, f"client {i} flipped"
        for client in clients:
            await client.close()

    first, second = envoys
    asyncio.run(visit())
    assert set(homes.values()) == {"v1", "v2"}
    for step in [
        (first, "k0", "k1"),
        (second, "k0", "k1"),
        (first, "k1", "k0"),
        (second, "k1", "k0"),
    ]:
        take(*step)
        asyncio.run(visit())
    # All clients have returned within the TTL, so no pin of the old key is left.
    time.sleep(TTL / 2 + 1)
    asyncio.run(visit())
    assert all("~k1~" in client.cookies["pinion-shop"] for client in clients)
    take(first, "k1")
    take(second, "k1")
    asyncio.run(visit())
    for envoy in envoys:
        rejected = {name: value for name, value in envoy.metrics().items() if "rejected" in name}
        assert rejected == {}
    drawn = [value for envoy in envoys for name, value in envoy.metrics().items() if 'pin_reason="draw"' in name]
    assert sum(drawn) == CLIENTS


def test_every_cause_is_counted_and_no_key_is_logged(binary, start):
    upstream = start(Upstream("upstream"))
    versions = [{"name": "v1"}, {"name": "gone", "state": "retired"}]
    keys = [{"id": "k1", "env": "PINION_KEY"}]
    listener = make.listener(
        "edge", [make.pinion({"keys": keys, "apps": [{"name": "shop", "versions": versions}]})], [make.to("upstream")]
    )
    envoy = start(Envoy(make.bootstrap([listener], [make.cluster("upstream", upstream.port)]), binary=binary))
    now = int(time.time())

    def pin(value: str, key: str = "k1", name: str = "k1", app: str = "shop") -> str:
        return sealed("pin", make.key(key), name, app, value)

    pins = {
        "malformed": "nonsense",
        "unsigned": f"v1~{now}~0~5",
        "key": pin(f"v1~{now}~0~5", "evil", "k7"),
        "forged": pin(f"v1~{now}~0~5", "evil"),
        "epoch": pin(f"v1~{now}~1~5"),
        "future": pin(f"v1~{now + 300}~0~5"),
        "expired": pin(f"v1~{now - 90_000}~0~5"),
        "unknown": pin(f"v9~{now}~0~5"),
        "retired": pin(f"gone~{now}~0~5"),
        "oversized": f"{pin(f'v1~{now}~0~5')}{'; a=b' * 600}",
    }

    async def send() -> None:
        for value in pins.values():
            browser = Browser(envoy.port())
            await browser.request(headers=[("cookie", f"pinion-shop={value}")])
            await browser.close()

    asyncio.run(send())
    counted = {name: value for name, value in envoy.metrics().items() if "rejected" in name}
    assert counted == {f'pinion_pins_rejected_total{{pin_app="shop",pin_cause="{cause}"}}': 1 for cause in pins}
    shown = envoy.log() + envoy.admin("/stats") + json.dumps(envoy.metrics())
    assert make.key("k1").decode() not in shown
