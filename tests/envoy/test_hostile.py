"""Hostile requests over raw sockets. After each, an ordinary request is served right, and no VM has failed."""

import asyncio
import time

from harness import bootstrap as make
from harness.client import Connection, lines
from harness.envoy import Envoy
from harness.upstream import Upstream

CONFIG = {
    "apps": [
        {
            "name": "shop",
            "hosts": ["shop.example.com", "*.shop.example.com"],
            "versions": [{"name": "v1", "label": "1.0"}, {"name": "dark", "weight": 0, "label": "2.0"}],
            "stable": "v1",
            "rules": [
                {"match": [{"headers": {"end-user": {"regex": "[a-z]+@example[.]com"}}}], "version": "dark"},
                {"match": [{"cookies": {"group": {"prefix": "beta"}}, "queryParams": {"p": {"exact": "1"}}}], "version": "dark"},
            ],
            "pin": {"header": "x-version-pin", "query": "dpl", "key": [{"header": "x-user-id"}]},
            "override": {"header": "x-override", "query": "o", "allow": [{"headers": {"x-tester": {"exact": "yes"}}}]},
        },
        {"name": "deep", "hosts": ["shop.example.com"], "paths": ["/a/b"], "versions": [{"name": "v1"}]},
    ]
}
WORKLOAD = {"stamp": {"from": {"value": "v1"}, "label": {"value": "1.0"}}, "mirror": {"block": [{"paths": ["/payments"]}]}}


def get(path: bytes = b"/", host: bytes = b"shop.example.com", *lines: bytes, method: bytes = b"GET") -> bytes:
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"host: " + host, *lines, b"", b""])


def corpus() -> dict[str, bytes]:
    every_byte = bytes(b for b in range(1, 256) if b not in b"\r\n")
    now = str(int(time.time())).encode()
    headers = {
        "every byte in a cookie": b"cookie: " + every_byte,
        "every byte in a pin": b"cookie: pinion-shop=" + every_byte,
        "every byte in the route header": b"x-app-version: " + every_byte,
        "every byte in a rule's header": b"end-user: " + every_byte,
        "every byte in a key": b"x-user-id: " + every_byte,
        "every byte in a pin header": b"x-version-pin: " + every_byte,
        "every byte in an override": b"x-tester: yes\r\nx-override: " + every_byte,
        "not UTF-8": b"end-user: \xff\xfe\r\ncookie: \xc3\x28=\xff",
        "a cookie of 48 KiB": b"cookie: pinion-shop=" + b"a" * 49_000,
        "thousands of pairs": b"cookie: " + b"a=b;" * 12_000,
        "thousands of nameless pairs": b"cookie: " + b"=;" * 24_000,
        "thousands of pins": b"cookie: " + b"pinion-shop=v1~1~0~1;" * 2_000,
        "nameless and valueless cookies": b"cookie: =\r\ncookie: a\r\ncookie: =b\r\ncookie:\r\ncookie: ;;;",
        "ninety cookie lines": b"\r\n".join([b"cookie: pinion-shop=x"] * 90),
        "repeated route headers": b"\r\n".join([b"x-app-version: dark"] * 20),
        "a route header with a comma": b"x-app-version: v1,dark",
        "both mirror marks": b"x-mirrored: true\r\nx-pinion-mirror: true",
        "a pin of endless parts": b"cookie: pinion-shop=" + b"~" * 40_000,
        "a pin of huge numbers": b"cookie: pinion-shop=v1~99999999999999999999~99999999999~99999999999",
        "a pin to a dark version": b"cookie: pinion-shop=dark~" + now + b"~0~1",
        "a pin that splits a response": b"cookie: pinion-shop=v1~" + now + b"~0~1%0d%0aset-cookie:evil=1",
        "an override of endless members": b"x-tester: yes\r\nx-override: " + b"a=b," * 12_000,
        "an override of quotes": b'x-tester: yes\r\nx-override: shop="' + b'"' * 1000,
        "a long value for a regex": b"end-user: " + b"a" * 50_000,
        "an address that is none": b"x-forwarded-for: nonsense, 999.1.1.1\r\nx-forwarded-proto: gopher",
        "a websocket that nobody takes": b"connection: upgrade\r\nupgrade: websocket",
    }
    requests = {name: get(b"/", b"shop.example.com", line) for name, line in headers.items()}
    for path in [
        b"/%", b"/%zz", b"/%00", b"/%2e%2e/%2e%2e", b"/../../etc", b"//", b"/a//b", b"/a/b%2F..", b"/;x=y", b"/?",
        b"/?dpl", b"/?dpl=%", b"/?dpl=%7e%7E%", b"/?" + b"&" * 20_000, b"/?" + b"o=x&" * 5_000, b"/?o=off", b"/?o=%ff",
        b"*", b"http://shop.example.com/x?y", b"http://evil.org/", b"/" + b"a/" * 10_000, b"/\xff\xfe",
    ]:  # fmt: skip
        requests[f"path {path[:40]!r}"] = get(path)
    for host in [
        b"SHOP.example.COM:80", b"shop.example.com.", b"shop.example.com:", b"shop.example.com:99999999", b"[::1]:80",
        b"[::1", b"]", b":", b".", b"..", b"a.shop.example.com", b".shop.example.com", b"shop.example.com-shadow:80",
        b"-shadow", b"*", b"", b"\xff", b"." * 5_000, b"a." * 2_000 + b"shop.example.com",
    ]:  # fmt: skip
        requests[f"host {host[:40]!r}"] = get(b"/", host)
    requests["no host"] = b"GET / HTTP/1.1\r\n\r\n"
    requests["CONNECT"] = get(b"shop.example.com:443", method=b"CONNECT")
    requests["OPTIONS *"] = get(b"*", method=b"OPTIONS")
    requests["an unknown method"] = get(method=b"PURGE")
    requests["a method of 10 KiB"] = get(method=b"A" * 10_000)
    requests["trailers"] = get(b"/", b"shop.example.com", b"transfer-encoding: chunked", method=b"POST") + b"0\r\nx: y\r\n\r\n"
    requests["a body that never ends"] = get(b"/", b"shop.example.com", b"content-length: 99", method=b"POST")
    requests["gRPC"] = get(b"/a.B/C", b"shop.example.com", b"content-type: application/grpc", b"te: trailers", method=b"POST")
    requests["half a request"] = b"GET / HTTP/1.1\r\nhost: shop"
    requests["no HTTP"] = every_byte
    return requests


async def send(port: int, request: bytes) -> bytes:
    """What comes back of a connection that may be refused, or hang."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(65536), 1)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()


def test_no_request_brings_a_worker_down(binary, start):
    upstream = start(Upstream("upstream"))
    # Another filter's and Envoy's own answers pass by too.
    refused = {"match": {"prefix": "/refused"}, "direct_response": {"status": 403}}
    routes = [refused, make.to("upstream")]
    listeners = [
        make.listener("edge", [make.pinion(CONFIG)], routes, upgrade_configs=[{"upgrade_type": "websocket"}]),
        make.listener("workload", [make.pinion(WORKLOAD)], routes),
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
    exceeded = {f'pinion_limits_exceeded_total{{pin_app="shop",pin_cause="{cause}"}}' for cause in ("cookies", "override", "regex")}
    assert exceeded <= envoy.metrics().keys()
    for request in decided:
        routes = lines(request["headers"], "x-app-version")
        assert routes in ([], ["v1"]), request
        assert not [name for name, _ in request["headers"] if name in ("x-mirrored", "x-pinion-mirror")], request
    for request in asyncio.run(attack("workload")):
        tags = lines(request["headers"], "x-mirrored")
        assert tags in ([], ["true"]), request
    log = envoy.log()
    assert "panic" not in log.lower() and "Wasm VM failed" not in log, log[-5000:]
    stats = envoy.admin("/stats?filter=wasm.*(vm_failed|vm_reload|failed)")
    assert not [line for line in stats.splitlines() if not line.endswith(": 0")], stats
