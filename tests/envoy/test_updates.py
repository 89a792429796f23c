"""A configuration that changes while Envoy runs."""

import asyncio
import json
import re
import time

import yaml

from harness import bootstrap as make
from harness.client import Connection
from harness.envoy import ROOT, Envoy, load, walk
from harness.upstream import Upstream


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
        assert time.monotonic() < end, "it did not come"
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
    """The i-th configuration: everybody to version i mod 2, with i as its label."""
    versions = [{"name": "v0", "label": f"l{i}"}, {"name": "v1", "label": f"l{i}"}]
    return make.resource({"apps": [{"name": "shop", "versions": versions, "stable": f"v{i % 2}"}]})


async def websocket(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An upgraded connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /ws HTTP/1.1\r\nhost: shop\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    assert head.startswith(b"HTTP/1.1 101") and b"x-app-version: l0" in head.lower(), head
    return reader, writer


async def echo_server() -> asyncio.Server:
    """Takes an upgrade and sends every byte back."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        while data := await reader.read(1024):
            writer.write(data)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def test_200_updates_under_load_lose_and_mix_nothing(binary, start, tmp_path):
    upstreams = {name: start(Upstream(name)) for name in ("v0", "v1")}
    path = tmp_path / "pinion.yaml"
    path.write_text(yaml.safe_dump(towards(0)))

    async def run() -> None:
        sockets = await echo_server()
        clusters = [make.cluster(name, upstream.port) for name, upstream in upstreams.items()]
        clusters.append(make.cluster("ws", sockets.sockets[0].getsockname()[1]))
        routes = [
            {"match": {"prefix": "/ws"}, "route": {"cluster": "ws"}},
            *(make.to(name, x_app_version=name) for name in upstreams),
        ]
        upgrades = [{"upgrade_type": "websocket"}]
        listener = make.listener("edge", [make.discovered(path)], routes, upgrade_configs=upgrades)
        envoy = await asyncio.to_thread(
            start, Envoy(make.bootstrap([listener], clusters), binary=binary, concurrency=2)
        )
        reader, writer = await websocket(envoy.port())
        given, done, seen = 0, False, 0

        async def load() -> None:
            nonlocal seen
            connection, last = Connection(envoy.port()), 0
            while not done:
                before = last
                response = await connection.request()
                assert response.status == 200, response
                label = int(response.get("x-app-version")[1:])
                # Decision, route and label are of one configuration, and none older than the connection has seen.
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
            assert time.monotonic() < end, "the last update did not come"
            await asyncio.sleep(0.05)
        done = True
        await asyncio.gather(*loads)
        assert seen > UPDATES, seen
        # The WebSocket was opened under the first configuration and is still there.
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 20) == b"hello"
        writer.close()
        sockets.close()

    asyncio.run(run())
