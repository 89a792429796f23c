"""Upstreams that are down, reset the connection, time out, or stop in the middle. Envoy responds itself then, without a
stamp or a pin, and the client's pin does not change."""

import asyncio

from harness import bootstrap as make
from harness.client import Browser
from harness.envoy import Envoy, free_port
from harness.upstream import Upstream

CONFIG = {"apps": [{"name": "shop", "versions": [{"name": "v1"}, {"name": "v2", "weight": 50}], "stable": "v1"}]}


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-le")
    writer.transport.close()


def test_a_failing_upstream_changes_no_pin(binary, start):
    upstream = start(Upstream("good"))

    async def run() -> None:
        broken = {"reset": reset, "silent": silent, "half": half}
        servers = {name: await asyncio.start_server(serve, "127.0.0.1", 0) for name, serve in broken.items()}
        ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
        ports |= {"down": free_port(), "good": upstream.port}
        routes = [make.to(name, x_test_by=name) for name in ports if name != "good"] + [make.to("good")]
        for route in routes[:-1]:
            route["route"]["timeout"] = "0.3s"
        listener = make.listener("edge", [make.pinion(CONFIG)], routes)
        clusters = [make.cluster(name, port) for name, port in ports.items()]
        envoy = await asyncio.to_thread(start, Envoy(make.bootstrap([listener], clusters), binary=binary))
        returning, seen = Browser(envoy.port()), {}
        home = (await returning.request()).echo().all("x-app-version")
        pin = dict(returning.cookies)
        for name in ("down", "reset", "silent", "half"):
            newcomer = Browser(envoy.port())
            for browser in (returning, newcomer):
                response = await browser.request(headers=[("x-test-by", name)])
                assert response.all("x-app-version") == [] and response.all("set-cookie") == [], name
                seen[name] = response.status
            await newcomer.close()
            again = await returning.request()
            assert again.echo().all("x-app-version") == home, name
        assert seen == {"down": 503, "reset": 503, "silent": 504, "half": seen["half"]}
        assert seen["half"] in (502, 503)
        assert returning.cookies == pin
        await returning.close()
        for server in servers.values():
            server.close()

    asyncio.run(run())
