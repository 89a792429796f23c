"""Requests of a malicious client for both versions of HTTP, and checks of an Envoy after them."""

from __future__ import annotations

import time

from .client import lines
from .envoy import Envoy

Field = tuple[bytes, bytes]
"""A header field as bytes."""

CONFIG = {
    "apps": [
        {
            "name": "shop",
            "hosts": ["shop.example.com", "*.shop.example.com"],
            "versions": [{"name": "v1", "label": "1.0"}, {"name": "dark", "weight": 0, "label": "2.0"}],
            "stable": "v1",
            "rules": [
                {"match": [{"headers": {"end-user": {"regex": "[a-z]+@example[.]com"}}}], "version": "dark"},
                {
                    "match": [{"cookies": {"group": {"prefix": "beta"}}, "queryParams": {"p": {"exact": "1"}}}],
                    "version": "dark",
                },
            ],
            "pin": {"header": "x-version-pin", "query": "dpl", "key": [{"header": "x-user-id"}]},
            "override": {"header": "x-override", "query": "o", "allow": [{"headers": {"x-tester": {"exact": "yes"}}}]},
        },
        {"name": "deep", "hosts": ["shop.example.com"], "paths": ["/a/b"], "versions": [{"name": "v1"}]},
    ]
}
WORKLOAD = {
    "stamp": {"from": {"value": "v1"}, "label": {"value": "1.0"}},
    "mirror": {"block": [{"paths": ["/payments"]}]},
}

EVERY_BYTE = bytes(b for b in range(1, 256) if b not in b"\r\n")
EVERY_TCHAR = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
"""The characters of a field's name (RFC 9110 section 5.6.2), in lower case as in HTTP/2."""

PREFLIGHT = [(name, EVERY_BYTE) for name in (b"origin", b"access-control-request-method")]
"""The header fields of a preflight, which also has the method OPTIONS."""

PATHS = [
    b"/%", b"/%zz", b"/%00", b"/%2e%2e/%2e%2e", b"/../../etc", b"//", b"/a//b", b"/a/b%2F..", b"/;x=y", b"/?",
    b"/?dpl", b"/?dpl=%", b"/?dpl=%7e%7E%", b"/?" + b"&" * 20_000, b"/?" + b"o=x&" * 5_000, b"/?o=off", b"/?o=%ff",
    b"*", b"http://shop.example.com/x?y", b"http://evil.org/", b"/" + b"a/" * 10_000, b"/\xff\xfe",
]  # fmt: skip

HOSTS = [
    b"SHOP.example.COM:80", b"shop.example.com.", b"shop.example.com:", b"shop.example.com:99999999", b"[::1]:80",
    b"[::1", b"]", b":", b".", b"..", b"a.shop.example.com", b".shop.example.com", b"shop.example.com-shadow:80",
    b"-shadow", b"*", b"", b"\xff", b"." * 5_000, b"a." * 2_000 + b"shop.example.com",
]  # fmt: skip


def fields() -> dict[str, list[Field]]:
    """Header fields that are added to those of an ordinary request."""
    now = str(int(time.time())).encode()
    tester = (b"x-tester", b"yes")
    return {
        "every byte in a cookie": [(b"cookie", EVERY_BYTE)],
        "every byte in a pin": [(b"cookie", b"pinion-shop=" + EVERY_BYTE)],
        "every byte in the route header": [(b"x-app-version", EVERY_BYTE)],
        "every byte in a rule's header": [(b"end-user", EVERY_BYTE)],
        "every byte in a key": [(b"x-user-id", EVERY_BYTE)],
        "every byte in a pin header": [(b"x-version-pin", EVERY_BYTE)],
        "every byte in an override": [tester, (b"x-override", EVERY_BYTE)],
        "every byte in a seal": [
            (b"cookie", b"pinion-shop=v1~" + now + b"~0~1~k1~" + EVERY_BYTE[i : i + 22])
            for i in range(0, len(EVERY_BYTE), 22)
        ],
        "every byte in the headers that describe a browser's request": [(b"sec-fetch-mode", EVERY_BYTE), *PREFLIGHT],
        "a name of all characters that are allowed": [(EVERY_TCHAR, EVERY_BYTE)],
        "names that begin with the route header's": [
            (b"x-app-version" + bytes([b]), b"dark") for b in EVERY_TCHAR
        ],
        "not UTF-8": [(b"end-user", b"\xff\xfe"), (b"cookie", b"\xc3\x28=\xff")],
        "a cookie of 48 KiB": [(b"cookie", b"pinion-shop=" + b"a" * 49_000)],
        "thousands of pairs": [(b"cookie", b"a=b;" * 12_000)],
        "thousands of nameless pairs": [(b"cookie", b"=;" * 24_000)],
        "thousands of pins": [(b"cookie", b"pinion-shop=v1~1~0~1;" * 2_000)],
        "nameless and valueless cookies": [(b"cookie", cookie) for cookie in (b"=", b"a", b"=b", b"", b";;;")],
        "ninety cookie lines": [(b"cookie", b"pinion-shop=x")] * 90,
        "repeated route headers": [(b"x-app-version", b"dark")] * 20,
        "a route header with a comma": [(b"x-app-version", b"v1,dark")],
        "both mirror marks": [(b"x-mirrored", b"true"), (b"x-pinion-mirror", b"true")],
        "a pin of endless parts": [(b"cookie", b"pinion-shop=" + b"~" * 40_000)],
        "a pin of huge numbers": [(b"cookie", b"pinion-shop=v1~99999999999999999999~99999999999~99999999999")],
        "a pin to a dark version": [(b"cookie", b"pinion-shop=dark~" + now + b"~0~1")],
        "a pin that splits a response": [(b"cookie", b"pinion-shop=v1~" + now + b"~0~1%0d%0aset-cookie:evil=1")],
        "an override of endless members": [tester, (b"x-override", b"a=b," * 12_000)],
        "an override of quotes": [tester, (b"x-override", b'shop="' + b'"' * 1000)],
        "a long value for a regex": [(b"end-user", b"a" * 50_000)],
        "an invalid address": [(b"x-forwarded-for", b"nonsense, 999.1.1.1"), (b"x-forwarded-proto", b"gopher")],
        "a websocket that no upstream accepts": [(b"connection", b"upgrade"), (b"upgrade", b"websocket")],
    }


def assert_edge_strips_all(seen: list[dict]) -> None:
    """Checks that no route header and no mirror mark of a client passed the edge."""
    for request in seen:
        assert lines(request["headers"], "x-app-version") in ([], ["v1"]), request
        assert not [name for name, _ in request["headers"] if name in ("x-mirrored", "x-pinion-mirror")], request


def assert_workload_tags_once(seen: list[dict]) -> None:
    """Checks that the app behind a workload gets one tag or none, whatever the client sent."""
    for request in seen:
        assert lines(request["headers"], "x-mirrored") in ([], ["true"]), request


def assert_no_vm_failed(envoy: Envoy) -> None:
    log = envoy.log()
    assert "panic" not in log.lower() and "Wasm VM failed" not in log, log[-5000:]
    stats = envoy.admin("/stats?filter=wasm.*(vm_failed|vm_reload|failed)")
    assert not [line for line in stats.splitlines() if not line.endswith(": 0")], stats
