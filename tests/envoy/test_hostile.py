"""Hostile requests over raw sockets. After each of them an ordinary request gets the right response, and no VM has
failed."""

import asyncio

from harness import bootstrap as make
from harness import hostile
from harness.client import Connection
from harness.envoy import Envoy
from harness.upstream import Upstream


def get(path: bytes = b"/", host: bytes = b"shop.example.com", *lines: bytes, method: bytes = b"GET") -> bytes:
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"host: " + host, *lines, b"", b""])


def corpus() -> dict[str, bytes]:
    requests = {
        name: get(b"/", b"shop.example.com", *(field + b": " + value for field, value in fields))
        for name, fields in hostile.fields().items()
    }
    for path in hostile.PATHS:
        requests[f"path {path[:40]!r}"] = get(path)
    for host in hostile.HOSTS:
        requests[f"host {host[:40]!r}"] = get(b"/", host)
    requests["no host"] = b"GET / HTTP/1.1\r\n\r\n"
    requests["CONNECT"] = get(b"shop.example.com:443", method=b"CONNECT")
    requests["OPTIONS *"] = get(b"*", method=b"OPTIONS")
    requests["a preflight of every byte"] = get(
        b"/", b"shop.example.com", *(name + b": " + value for name, value in hostile.PREFLIGHT), method=b"OPTIONS"
    )
    requests["an unknown method"] = get(method=b"PURGE")
    requests["a method of 10 KiB"] = get(method=b"A" * 10_000)
    requests["trailers"] = get(b"/", b"shop.example.com", b"transfer-encoding: chunked", method=b"POST") + b"0\r\nx: y\r\n\r\n"
    requests["a body that never ends"] = get(b"/", b"shop.example.com", b"content-length: 99", method=b"POST")
    requests["gRPC"] = get(b"/a.B/C", b"shop.example.com", b"content-type: application/grpc", b"te: trailers", method=b"POST")
    requests["half a request"] = b"GET / HTTP/1.1\r\nhost: shop"
    requests["no HTTP"] = hostile.EVERY_BYTE
    return requests


async def send(port: int, request: bytes) -> bytes:
    """The bytes that a connection returns. The connection may be refused or hang."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(65536), 1)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()


def test_no_request_breaks_a_worker(binary, start):
    upstream = start(Upstream("upstream"))
    # Responses of another filter and of Envoy pass through the filter too.
    refused = {"match": {"prefix": "/refused"}, "direct_response": {"status": 403}}
    routes = [refused, make.to("upstream")]
    listeners = [
        make.listener("edge", [make.pinion(hostile.CONFIG)], routes, upgrade_configs=[{"upgrade_type": "websocket"}]),
        make.listener("workload", [make.pinion(hostile.WORKLOAD)], routes),
    ]
    envoy = start(Envoy(make.bootstrap(listeners, [make.cluster("upstream", upstream.port)]), binary=binary))
    requests = corpus()
    assert len(requests) > 70

    async def ordinary(port: int) -> tuple[int, str | None]:
        response = await Connection(port).request(host="shop.example.com")
        return response.status, response.get("x-app-version")

    async def attack(listener: str) -> list[dict]:
        port = envoy.port(listener)
        for name, request in requests.items():
            answer = await send(port, request)
            head = answer.partition(b"\r\n\r\n")[0].lower()
            assert b"evil" not in head, f"{name}: {head!r}"
            assert b"x-app-version: 2.0" not in head, f"{name}: {head!r}"
            assert await ordinary(port) == (200, "1.0"), name
        return upstream.seen()

    decided = asyncio.run(attack("edge"))
    assert len(decided) > len(requests)
    causes = ("cookies", "override", "regex")
    exceeded = {f'pinion_limits_exceeded_total{{pin_app="shop",pin_cause="{cause}"}}' for cause in causes}
    assert exceeded <= envoy.metrics().keys()
    hostile.assert_edge_strips_all(decided)
    hostile.assert_workload_tags_once(asyncio.run(attack("workload")))
    hostile.assert_no_vm_failed(envoy)
