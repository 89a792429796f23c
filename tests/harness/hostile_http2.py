"""Requests and connections of a malicious client that only HTTP/2 allows."""

from __future__ import annotations

import dataclasses
import time

from hpack import Encoder
from hyperframe import frame as frames

from . import hostile
from .hostile import Field

HOST = b"shop.example.com"
FAULT = (b"x-envoy-fault-abort-request", b"503")
GRPC = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
SHADOW = HOST + b"-shadow"


def pseudo(method: bytes = b"GET", path: bytes = b"/", authority: bytes = HOST, scheme: bytes = b"http") -> list[Field]:
    return [(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path)]


def pin(slot: int = 1) -> bytes:
    return b"pinion-shop=v1~%d~0~%d" % (time.time(), slot)


@dataclasses.dataclass(frozen=True)
class Exchange:
    """One request. Without a body, the headers end the stream. The client resets an `unended` request."""

    headers: list[Field]
    body: list[bytes] | None = None
    trailers: list[Field] | None = None
    unended: bool = False


def cookie_exchanges() -> dict[str, Exchange]:
    def crumbs(*values: bytes) -> Exchange:
        return Exchange([*pseudo(), *((b"cookie", value) for value in values)])

    return {
        "300 crumbs": crumbs(*[b"a=b"] * 300),
        "3,000 crumbs": crumbs(*[b"a=b"] * 3_000),
        "3,000 crumbs, each another": crumbs(*[b"a%d=b" % i for i in range(3_000)]),
        "15,000 empty crumbs": crumbs(*[b""] * 15_000),
        "1,000 crumbs of pins": crumbs(*[pin(i) for i in range(1_000)]),
        "crumbs without names and values": crumbs(b"=", b"", b";", b"a", b"=b", b"a=", b" ", b";;;=;"),
        "crumbs that are no text": crumbs(b"\xff=\xfe", b"pinion-shop=\xc3\x28", b"\x80" * 300, pin()),
        "a pin in two crumbs": crumbs(b"pinion-shop=v1~1", b"~0~1"),
        "a pin that ends in the next crumb": crumbs(pin() + b"; pinion-shop", b"=v1~1~0~1"),
        "crumbs between other fields": Exchange(
            [*pseudo(), *[(b"cookie", pin()), (b"x-app-version", b"dark"), (b"cookie", b"group=beta")] * 20]
        ),
        "a cookie of 64 KiB": crumbs(b"a" * 65_536),
        "a pin of 64 KiB": crumbs(b"pinion-shop=v1~1~0~".ljust(65_536, b"1")),
        "64 KiB of crumbs": crumbs(*[b"a=" + b"b" * 1_022] * 64),
        "64 KiB of separators": crumbs(b";" * 65_536),
        "64 KiB of quotes": crumbs(b"pinion-shop=".ljust(65_536, b'"')),
        "90 KiB in three crumbs": crumbs(*[b"pinion-shop=" + b"a" * 30_000] * 3),
        # Envoy 1.40 accepts no single field above 64 KiB, whatever the limit of the whole is.
        "a cookie of 90 KiB": crumbs(b"pinion-shop=" + b"a" * 90_000),
        "a cookie that is too long": crumbs(b"a" * 110_000),
        "crumbs that are too long": crumbs(*[b"a" * 4_000] * 50),
    }


def field_exchanges() -> dict[str, Exchange]:
    def beside(*fields: Field) -> Exchange:
        return Exchange([*pseudo(), *fields])

    route = b"x-app-version"
    found = {
        "thirty route headers": beside(*[(route, b"dark"), (route, b"v1"), (route, b"")] * 10),
        "thousands of route headers": beside(*[(route, b"dark")] * 2_000),
        "an empty route header": beside((route, b"")),
        "a route header of 64 KiB": beside((route, b"dark" * 16_384)),
        "an upper-case route header": beside((b"X-App-Version", b"dark")),
        "an upper-case cookie": beside((b"Cookie", pin())),
        "an upper-case letter": beside((b"x-uSer-id", b"a")),
        "a name that is no text": beside((b"x-\xff", b"a")),
        "a name with a space": beside((b"x app version", b"dark")),
        "a name with a colon": beside((b"x-app-version:", b"dark")),
        "a name with a line end": beside((b"x-a\r\nx-app-version", b"dark")),
        "an empty name": beside((b"", b"a")),
        "an underscore": beside((b"x_app_version", b"dark")),
        "a name of 10 KiB": beside((b"x" * 10_240, b"a")),
        "thousands of names": beside(*((b"x-%d" % i, b"") for i in range(2_000))),
        "marks": beside(*[(b"x-mirrored", b"true"), (b"x-pinion-mirror", b"\xff")] * 3),
        "connection: close": beside((b"connection", b"close")),
        "connection names the route header": beside((b"connection", b"x-app-version")),
        "transfer-encoding": beside((b"transfer-encoding", b"chunked")),
        "te: gzip": beside((b"te", b"gzip")),
        "upgrade": beside((b"upgrade", b"websocket")),
        "keep-alive": beside((b"keep-alive", b"1"), (b"proxy-connection", b"keep-alive")),
        "a 0-length everything": Exchange(
            [(b":method", b""), (b":scheme", b""), (b":authority", b""), (b":path", b""), (b"", b""), (b"cookie", b"")],
            body=[b""], trailers=[(b"", b"")],
        ),
        "0-length values": beside(
            *((name, b"") for name in (
                b"cookie", b"end-user", b"x-user-id", b"x-version-pin", b"x-override", b"x-tester", b"x-app-version",
                b"x-mirrored", b"x-pinion-mirror", b"x-forwarded-for", b"origin",
            ))
        ),
        "no scheme that Envoy knows": beside((b"x-forwarded-proto", b"")),
    }  # fmt: skip
    for name in (route, b"cookie", b"end-user", b"x-user-id", b"x-version-pin", b":path", b":authority", b":method"):
        for bad in (b"\0", b"\r", b"\n", b"\r\nset-cookie: evil=1", b"\xff\xfe", b"\xc3\x28", b"\x7f"):
            value = {b":path": b"/", b":authority": HOST, b":method": b"GET"}.get(name, b"dark") + bad
            rest = [field for field in pseudo() if field[0] != name]
            at = 0 if name.startswith(b":") else len(rest)
            found[f"{name.decode()} with {bad!r}"] = Exchange([*rest[:at], (name, value), *rest[at:]])
    return found


def pseudo_exchanges() -> dict[str, Exchange]:
    method, scheme, authority, path = pseudo()
    host = (b"host", HOST)
    evil = (b":authority", b"evil.org")
    found = {
        "no fields but :method": Exchange([method]),
        "only host": Exchange([method, scheme, path, host]),
        "neither :authority nor host": Exchange([method, scheme, path]),
        "host says the same": Exchange([*pseudo(), host]),
        "host contradicts": Exchange([*pseudo(authority=b"evil.org"), host]),
        "host contradicts the other way": Exchange([*pseudo(), (b"host", b"evil.org")]),
        "host with the mirror's suffix": Exchange([*pseudo(), (b"host", SHADOW)]),
        "two hosts": Exchange([method, scheme, path, host, (b"host", b"evil.org")]),
        "an empty :authority and a host": Exchange([*pseudo(authority=b""), host]),
        "two :authority that contradict": Exchange([*pseudo(), evil]),
        "two :authority, the other first": Exchange([method, scheme, evil, authority, path]),
        "two :path that contradict": Exchange([*pseudo(), (b":path", b"/a/b")]),
        "an unknown pseudo-header": Exchange([*pseudo(), (b":version", b"dark")]),
        ":status in a request": Exchange([*pseudo(), (b":status", b"200")]),
        "a pseudo-header behind a field": Exchange([method, scheme, path, (b"x-app-version", b"dark"), authority]),
        "an upper-case pseudo-header": Exchange([method, scheme, authority, (b":Path", b"/")]),
        ":protocol without CONNECT": Exchange([*pseudo(), (b":protocol", b"websocket")]),
        "a scheme of nonsense": Exchange(pseudo(scheme=b"gopher")),
        "a scheme that is https": Exchange(pseudo(scheme=b"https")),
    }
    for name, value in pseudo():
        rest = [field for field in pseudo() if field[0] != name]
        found[f"no {name.decode()}"] = Exchange(rest)
        found[f"an empty {name.decode()}"] = Exchange([(name, b""), *rest])
        found[f"{name.decode()} twice"] = Exchange([*pseudo(), (name, value)])
    return found


def target_exchanges() -> dict[str, Exchange]:
    more_paths = [
        b"http://shop.example.com/a/b", b"https://shop.example.com-shadow/payments", b"shop.example.com", b"x",
        b"/a/b/..", b"/a/./b", b"/a%2fb", b"/a%5Cb", b"/a\\b", b"/%61/%62", b"/a/b;v=1", b"/a/b#x", b"/#?o=dark",
        b"/ HTTP/1.1", b"?dpl=x", b"/?o=dark&o=v1&dpl=dark~1~0~1", b"/?" + b"dpl=v1~1~0~1&" * 2_000,
        b"/" + b"%2e%2e/" * 5_000, b"/" + b"a" * 65_536, b"/payments%2f..", b"/payments/../", b"/\xe2\x82\xac",
    ]  # fmt: skip
    more_hosts = [
        b"SHOP.EXAMPLE.COM", b"shop.example.com:443", b"shop.example.com.:80", b"shop.example.com..", b"[::1]",
        b"[::1]:", b"[fe80::1%25eth0]:80", b"::1", b"shop.example.com-shadow", b"shop.example.com-SHADOW:80",
        b"[::1]-shadow:80", b"shop.example.com-shadow-shadow", b"-shadow:80", b"shop.example.com:80-shadow",
        b"user@shop.example.com", b"shop.example.com/a/b", b"shop.example.com,evil.org", b"shop example com",
        b"*.shop.example.com", b":80", b"\xc3\xa9.shop.example.com", b"xn--9ca.shop.example.com",
        b"shop.example.com%00", b"a" * 65_536,
    ]  # fmt: skip
    found = {f"path {path[:40]!r}": Exchange(pseudo(path=path)) for path in [*hostile.PATHS, *more_paths]}
    return found | {f"host {host[:40]!r}": Exchange(pseudo(authority=host)) for host in [*hostile.HOSTS, *more_hosts]}


def method_exchanges() -> dict[str, Exchange]:
    connect = [(b":method", b"CONNECT"), (b":authority", HOST + b":443")]
    extended = [*pseudo(b"CONNECT", b"/ws"), (b":protocol", b"websocket")]
    preflight = [(b"origin", b"https://a"), (b"access-control-request-method", b"PUT")]
    return {
        "CONNECT": Exchange(connect),
        "CONNECT that stays open": Exchange(connect, body=[b"hello"], unended=True),
        "CONNECT with a path": Exchange(pseudo(b"CONNECT")),
        "CONNECT to nobody": Exchange(connect[:1]),
        "CONNECT with a route header": Exchange([*connect, (b"x-app-version", b"dark"), (b"cookie", pin())]),
        "extended CONNECT": Exchange(extended),
        "extended CONNECT that stays open": Exchange(extended, body=[b"hello"], unended=True),
        "extended CONNECT with a route header": Exchange(
            [*extended, (b"x-app-version", b"dark")], body=[], unended=True
        ),
        "extended CONNECT for something else": Exchange([*extended[:-1], (b":protocol", b"connect-udp")]),
        "extended CONNECT for nothing": Exchange([*extended[:-1], (b":protocol", b"")]),
        "extended CONNECT for no text": Exchange([*extended[:-1], (b":protocol", b"\xff")]),
        "extended CONNECT without path": Exchange([*connect, (b":protocol", b"websocket")]),
        "extended CONNECT of a copy": Exchange([*pseudo(b"CONNECT", b"/payments", SHADOW), extended[-1]], body=[b"x"]),
        "OPTIONS *": Exchange(pseudo(b"OPTIONS", b"*")),
        "GET *": Exchange(pseudo(b"GET", b"*")),
        "a preflight": Exchange([*pseudo(b"OPTIONS"), *preflight]),
        "a preflight of every byte": Exchange([*pseudo(b"OPTIONS"), *hostile.PREFLIGHT]),
        "a preflight with a pin": Exchange([*pseudo(b"OPTIONS"), *preflight, (b"cookie", pin())]),
        "HEAD": Exchange(pseudo(b"HEAD")),
        "HEAD with a body": Exchange(pseudo(b"HEAD"), body=[b"x"]),
        "HEAD of a copy": Exchange(pseudo(b"HEAD", b"/payments", SHADOW)),
        "TRACE": Exchange(pseudo(b"TRACE")),
        "a small method": Exchange(pseudo(b"get")),
        "an unknown method": Exchange(pseudo(b"PURGE")),
        "a method with a space": Exchange(pseudo(b"GET /a/b")),
        "a method of 10 KiB": Exchange(pseudo(b"A" * 10_240)),
        "PRI": Exchange(pseudo(b"PRI", b"*")),
    }


def body_exchanges() -> dict[str, Exchange]:
    post = pseudo(b"POST")

    def length(value: bytes) -> list[Field]:
        return [*post, (b"content-length", value)]

    tail = [
        (b"cookie", pin()), (b"x-app-version", b"dark"), (b"x-version-pin", b"dark~1~0~1"), (b"x-mirrored", b"true"),
        (b"x-pinion-mirror", b"true"), (b"end-user", b"a@example.com"),
    ]  # fmt: skip
    return {
        "a body": Exchange(post, body=[b"hello"]),
        "a body of nothing": Exchange(post, body=[b""]),
        "hundreds of empty pieces": Exchange(post, body=[b""] * 300),
        "a body of single bytes": Exchange(post, body=[b"x"] * 300),
        "a body that is announced and does not come": Exchange(length(b"99")),
        "a body that is shorter than announced": Exchange(length(b"5"), body=[b"abc"]),
        "a body that is longer than announced": Exchange(length(b"3"), body=[b"hello"]),
        "a body where none was announced": Exchange(length(b"0"), body=[b"hello"]),
        "a length that is no number": Exchange(length(b"x"), body=[b"hello"]),
        "a length below 0": Exchange(length(b"-1"), body=[b"hello"]),
        "a length without end": Exchange(length(b"9" * 400), body=[b"hello"]),
        "two lengths": Exchange([*length(b"5"), (b"content-length", b"6")], body=[b"hello"]),
        "a GET with a body": Exchange(pseudo(), body=[b"hello"]),
        "trailers": Exchange(post, body=[b"hello"], trailers=[(b"x", b"y")]),
        "trailers with a pin and a route header": Exchange(post, body=[b"hello"], trailers=tail),
        "trailers without a body": Exchange(post, body=[], trailers=tail),
        "trailers that are no text": Exchange(
            post, body=[], trailers=[(b"x-app-version", b"\xff"), (b"cookie", b"\xfe")]
        ),
        "trailers with pseudo-headers": Exchange(post, body=[], trailers=[*pseudo(path=b"/a/b"), *tail]),
        "upper-case trailers": Exchange(post, body=[], trailers=[(b"X-App-Version", b"dark")]),
        "hundreds of trailers": Exchange(post, body=[], trailers=[(b"x-%d" % i, b"y") for i in range(500)]),
        "trailers of 64 KiB": Exchange(post, body=[], trailers=[(b"cookie", b"a" * 65_536)]),
        "trailers behind a length": Exchange(length(b"9"), body=[b"hello"], trailers=tail),
        "gRPC": Exchange([*pseudo(b"POST", b"/a.B/C"), *GRPC], body=[b"\0\0\0\0\0"]),
        "gRPC without a message": Exchange([*pseudo(b"POST", b"/a.B/C"), *GRPC]),
        "gRPC with trailers": Exchange([*pseudo(b"POST", b"/a.B/C"), *GRPC], body=[b"\0\0\0\0\xff"], trailers=tail),
        "given up before the body": Exchange(post, body=[], unended=True),
        "given up in the body": Exchange(length(b"99"), body=[b"hello"], unended=True),
        "given up in a GET with a body": Exchange([*pseudo(), (b"cookie", pin())], body=[b"x"], unended=True),
        "given up in gRPC": Exchange([*pseudo(b"POST", b"/a.B/C"), *GRPC], body=[b"\0\0\0"], unended=True),
    }


def elsewhere_exchanges() -> dict[str, Exchange]:
    """Requests to which another filter, this filter or Envoy responds, while the client may still be sending."""
    mark = (b"x-pinion-mirror", b"true")
    spoof = [(b"x-app-version", b"dark"), (b"cookie", pin()), (b"x-tester", b"yes"), (b"x-override", b"dark")]
    requests = {
        "a filter before this one": [*pseudo(), FAULT, *spoof],
        "a filter before this one, though it is not text": [*pseudo(), FAULT, (b"x-app-version", b"\xff")],
        "a filter before this one, a gRPC call": [*pseudo(b"POST", b"/a.B/C"), FAULT, *GRPC, *spoof],
        "a filter before this one, HEAD": [*pseudo(b"HEAD"), FAULT],
        "a filter before this one, a websocket": [*pseudo(b"CONNECT", b"/ws"), (b":protocol", b"websocket"), FAULT],
        "the limit": pseudo(path=b"/limited"),
        "a direct response": [*pseudo(path=b"/refused"), *spoof],
        "a direct response, a gRPC call": [*pseudo(b"POST", b"/refused"), *GRPC],
        "a redirect": [*pseudo(path=b"/moved"), *spoof],
        "no healthy upstream": [*pseudo(path=b"/dead"), *spoof],
        "no healthy upstream, a gRPC call": [*pseudo(b"POST", b"/dead"), *GRPC],
        "no cluster": [*pseudo(path=b"/nowhere"), *spoof],
        "no route": [*pseudo(b"OPTIONS", b"*"), *spoof],
        "a blocked copy": pseudo(b"POST", b"/payments", SHADOW),
        "a blocked copy by mark": [*pseudo(b"POST", b"/payments/1"), mark],
        "a blocked copy by a mark that is not text": [*pseudo(b"POST", b"/payments/1"), (b"x-pinion-mirror", b"\xff")],
        "a blocked gRPC copy": [*pseudo(b"POST", b"/payments"), mark, *GRPC],
    }
    found = {}
    for name, headers in requests.items():
        found[name] = Exchange(headers)
        found[f"{name}, with a body"] = Exchange(headers, body=[b"hello", b"world"])
        found[f"{name}, with trailers"] = Exchange(headers, body=[b"hello"], trailers=[(b"x-app-version", b"dark")])
        found[f"{name}, given up"] = Exchange(headers, body=[b"hello"], unended=True)
    return found


def exchanges() -> dict[str, Exchange]:
    shared = {name: Exchange([*pseudo(), *fields]) for name, fields in hostile.fields().items()}
    kinds = [
        shared, cookie_exchanges(), field_exchanges(), pseudo_exchanges(), target_exchanges(), method_exchanges(),
        body_exchanges(), elsewhere_exchanges(),
    ]  # fmt: skip
    found = {name: exchange for kind in kinds for name, exchange in kind.items()}
    assert len(found) == sum(map(len, kinds)), "two exchanges have the same name"
    return found


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames.SettingsFrame(0).serialize()


def _headers(fields: list[Field], *flags: str, stream: int = 1) -> bytes:
    return frames.HeadersFrame(stream, Encoder().encode(fields), flags=flags).serialize()


def _frame(kind: int, stream: int, payload: bytes, flags: int = 0) -> bytes:
    """A frame that hyperframe does not write."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def connections() -> dict[str, bytes]:
    """The bytes that a client sends on a connection before it closes the connection, also with an open request."""
    spoofed = [*pseudo(b"POST"), (b"x-app-version", b"dark"), (b"cookie", pin())]
    opened = PREFACE + _headers(spoofed, "END_HEADERS")
    get = PREFACE + _headers(pseudo(), "END_HEADERS", "END_STREAM")
    block = Encoder().encode(spoofed)
    half, rest = block[: len(block) // 2], block[len(block) // 2 :]
    unfinished = PREFACE + frames.HeadersFrame(1, half).serialize()
    # HPACK: after its first occurrence, one byte repeats a field.
    bomb = Encoder().encode([*pseudo(), *[(b"cookie", b"a" * 3_000)] * 20_000])
    upgrade = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    return {
        "nothing": b"",
        "half a preface": PREFACE[:10],
        "a preface": PREFACE,
        "a preface and nonsense": PREFACE + hostile.EVERY_BYTE * 4,
        "h2c asked for in HTTP/1.1": b"GET / HTTP/1.1\r\nhost: " + HOST + b"\r\n" + upgrade + b"\r\n",
        "HTTP/1.1 behind a preface": PREFACE + b"GET / HTTP/1.1\r\nhost: " + HOST + b"\r\n\r\n",
        "a request left open": opened,
        "a request and gone": get,
        "half a frame": opened + frames.DataFrame(1, b"hello").serialize()[:11],
        "half the headers": unfinished,
        "headers in two frames": unfinished + frames.ContinuationFrame(1, rest, flags=["END_HEADERS"]).serialize(),
        "headers a byte at a time": PREFACE
        + frames.HeadersFrame(1, b"", flags=["END_STREAM"]).serialize()
        + b"".join(frames.ContinuationFrame(1, bytes([byte])).serialize() for byte in block[:-1])
        + frames.ContinuationFrame(1, block[-1:], flags=["END_HEADERS"]).serialize(),
        "thousands of empty continuations": unfinished + frames.ContinuationFrame(1, b"").serialize() * 3_000,
        "headers that another stream breaks into": unfinished + _headers(pseudo(), "END_HEADERS", stream=3),
        "headers that data breaks into": unfinished + frames.DataFrame(1, b"hello").serialize(),
        "a block of nothing": PREFACE + frames.HeadersFrame(1, b"", flags=["END_HEADERS", "END_STREAM"]).serialize(),
        "a block of nonsense": opened + frames.HeadersFrame(3, hostile.EVERY_BYTE, flags=["END_HEADERS"]).serialize(),
        "a block that repeats a field": PREFACE + _frame(1, 1, bomb[:16_000], 0) + _frame(9, 1, bomb[16_000:32_000], 4),
        "a table of a size that was not granted": opened
        + frames.HeadersFrame(3, b"\x3f\xff\xff\xff\x0f" + block, flags=["END_HEADERS"]).serialize(),
        "an index that is not there": opened
        + frames.HeadersFrame(3, b"\xff\xff\x03", flags=["END_HEADERS"]).serialize(),
        "a continuation of nothing": opened + frames.ContinuationFrame(1, rest, flags=["END_HEADERS"]).serialize(),
        "data on a stream that is idle": opened + frames.DataFrame(9, b"hello").serialize(),
        "data on a stream that is done": get + frames.DataFrame(1, b"hello").serialize(),
        "headers on a stream that is done": get + _headers(spoofed, "END_HEADERS"),
        "headers on stream 0": opened + _frame(1, 0, block, 4),
        "headers on a stream of the server's": opened + _headers(spoofed, "END_HEADERS", stream=2),
        "a stream below the last": PREFACE
        + _headers(spoofed, "END_HEADERS", stream=9)
        + _headers(pseudo(), "END_HEADERS"),
        "headers twice without an end": opened + _headers([(b"x-app-version", b"dark")], "END_HEADERS"),
        "padding beyond the frame": opened + _frame(0, 1, b"\xffhello", 8),
        "a stream that depends on itself": opened + _frame(2, 1, b"\0\0\0\x01\x10"),
        "a window raised by 0": opened + _frame(8, 1, b"\0\0\0\0"),
        "a window raised beyond its end": opened + _frame(8, 1, b"\x7f\xff\xff\xff"),
        "the connection's window raised beyond its end": opened + _frame(8, 0, b"\x7f\xff\xff\xff"),
        "a window of nothing": PREFACE + frames.SettingsFrame(0, {4: 0}).serialize() + get[len(PREFACE) :],
        "a window that is impossible": opened + _frame(4, 0, b"\0\x04\xff\xff\xff\xff"),
        "settings of half a size": opened + _frame(4, 0, b"\0\x04\0"),
        "settings that are acknowledged with a payload": opened + _frame(4, 0, b"\0\x04\0\0\0\0", 1),
        "a thousand settings": opened + frames.SettingsFrame(0, {1: 0}).serialize() * 1_000,
        "thousands of pings": opened + frames.PingFrame(0, b"12345678").serialize() * 3_000,
        "a reset of a stream that is idle": opened + frames.RstStreamFrame(9, 8).serialize(),
        "a reset twice": opened + frames.RstStreamFrame(1, 8).serialize() * 2,
        "hundreds of requests, each reset": PREFACE
        + b"".join(
            _headers(pseudo(), "END_HEADERS", "END_STREAM", stream=stream)
            + frames.RstStreamFrame(stream, 8).serialize()
            for stream in range(1, 601, 2)
        ),
        "a promise by a client": opened + _frame(5, 1, b"\0\0\0\x02" + block, 4),
        "GOAWAY while a request is open": opened + frames.GoAwayFrame(0, 0, 0).serialize(),
        "a frame that is too long": opened + _frame(0, 1, b"a" * 70_000),
        "a frame of no known type": opened + _frame(0xEE, 1, hostile.EVERY_BYTE),
    }
