"""Updates of the configuration while Envoy runs."""

import asyncio
import json
import re
import time

import yaml

from harness import bootstrap as make
from harness.client import Connection
from harness.envoy import ROOT, Envoy, load, walk
from harness.upstream import Upstream
from harness.websocket import EchoServer, WebSocket


def swapped(value: str) -> str:
    config = json.loads(value)
    config["apps"][0].update(stable="green")
    return json.dumps(config)


def refused(value: str) -> str:
    config = json.loads(value)
    config["apps"][0].update(stable="purple")
    return json.dumps(config)


def with_config(change) -> dict:
    resources = load(ROOT / "envoy" / "blue-green.pinion.yaml")
    walk(resources, lambda node: node.update(value=change(node["value"])) if "value" in node else None)
    return resources


def wait_for(done) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end, "the update did not become active"
        time.sleep(0.05)


def test_a_refused_update_leaves_the_old_configuration_serving(binary, start):
    blue, green = start(Upstream("blue")), start(Upstream("green"))
    bootstrap = load(ROOT / "envoy" / "blue-green.yaml")
    envoy = start(Envoy(bootstrap, binary=binary, clusters={"blue": blue.port, "green": green.port}))

    def serving() -> str:
        response = asyncio.run(Connection(envoy.port()).request(host="example.com"))
        assert response.status == 200
        return response.echo().version

    assert serving() == "blue"
    envoy.update(with_config(refused))
    wait_for(lambda: "configuration refused" in envoy.log())
    said = set(re.findall("configuration refused: (.*)", envoy.log()))
    assert said == {'apps[0].stable: "purple" is not a version of this app'}
    assert serving() == "blue"
    envoy.update(with_config(swapped))
    wait_for(lambda: serving() == "green")


def test_requests_get_500_while_the_first_configuration_of_all_is_refused(binary, start):
    blue = start(Upstream("blue"))
    envoy = Envoy(load(ROOT / "envoy" / "blue-green.yaml"), binary=binary, clusters={"blue": blue.port})
    envoy.update(with_config(refused))
    start(envoy)
    wait_for(lambda: "configuration refused" in envoy.log())
    assert asyncio.run(Connection(envoy.port()).request(host="example.com")).status == 500
    envoy.update(with_config(lambda value: value))
    wait_for(lambda: asyncio.run(Connection(envoy.port()).request(host="example.com")).status == 200)


UPDATES = 200


def towards(i: int) -> dict:
    """The i-th configuration: all clients go to version i mod 2, and the label is i."""
    versions = [{"name": "v0", "label": f"l{i}"}, {"name": "v1", "label": f"l{i}"}]
    return make.resource({"apps": [{"name": "shop", "versions": versions, "stable": f"v{i % 2}"}]})


def test_200_updates_under_load_lose_no_request_and_mix_no_configurations(binary, start, tmp_path):
    upstreams = {name: start(Upstream(name)) for name in ("v0", "v1")}
    path = tmp_path / "pinion.yaml"
    path.write_text(yaml.safe_dump(towards(0)))

    async def run() -> None:
        async with EchoServer() as sockets:
            await under_load(sockets)

    async def under_load(sockets: EchoServer) -> None:
        clusters = [make.cluster(name, upstream.port) for name, upstream in upstreams.items()]
        clusters.append(make.cluster("ws", sockets.port))
        routes = [
            {"match": {"prefix": "/ws"}, "route": {"cluster": "ws"}},
            *(make.to(name, x_app_version=name) for name in upstreams),
        ]
        upgrades = [{"upgrade_type": "websocket"}]
        listener = make.listener("edge", [make.discovered(path)], routes, upgrade_configs=upgrades)
        envoy = await asyncio.to_thread(
            start, Envoy(make.bootstrap([listener], clusters), binary=binary, concurrency=2)
        )
        opened = await WebSocket.open(envoy.port())
        assert ("x-app-version", "l0") in opened.headers, opened.headers
        given, done, seen = 0, False, 0

        async def load() -> None:
            nonlocal seen
            connection, last = Connection(envoy.port()), 0
            while not done:
                before = last
                response = await connection.request()
                assert response.status == 200, response
                label = int(response.get("x-app-version")[1:])
                # Decision, route and label belong to one configuration, which is not older than the connection's last.
                assert response.echo().version == f"v{label % 2}", (label, response.echo().version)
                assert before <= label <= given, (before, label, given)
                last, seen = label, seen + 1
            await connection.close()

        loads = [asyncio.create_task(load()) for _ in range(8)]
        for given in range(1, UPDATES + 1):
            envoy.update(towards(given))
            await asyncio.sleep(0.02)
            failed = [task for task in loads if task.done()]
            assert not failed, failed[0].exception()
        end = time.monotonic() + 30
        last = f"l{UPDATES}"
        while (await Connection(envoy.port()).request()).get("x-app-version") != last:
            assert time.monotonic() < end, "the last update did not become active"
            await asyncio.sleep(0.05)
        done = True
        await asyncio.gather(*loads)
        assert seen > UPDATES, seen
        # The WebSocket was opened under the first configuration and is still open.
        assert await opened.echoes(b"hello")
        opened.close()

    asyncio.run(run())
