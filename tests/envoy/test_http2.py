"""Hostile HTTP/2. After each exchange an ordinary request gets the right response, and no VM has failed."""

import asyncio
import re

import pytest

from harness import bootstrap as make
from harness import hostile, hostile_http2
from harness.client import TIMEOUT, Response, lines
from harness.envoy import Envoy
from harness.hostile_http2 import Exchange, pin, pseudo
from harness.http2 import Connection, Stream
from harness.upstream import Upstream

FAULTS = {
    "name": "envoy.filters.http.fault",
    "typed_config": {
        "@type": f"{make.TYPE}.extensions.filters.http.fault.v3.HTTPFault",
        "abort": {"header_abort": {}, "percentage": {"numerator": 100}},
    },
}
LIMIT = {
    "@type": f"{make.TYPE}.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
    "stat_prefix": "limited",
    "token_bucket": {"max_tokens": 1, "fill_interval": "3600s"},
    "filter_enabled": {"default_value": {"numerator": 100}},
    "filter_enforced": {"default_value": {"numerator": 100}},
}
UNLIMITED = {"@type": LIMIT["@type"], "stat_prefix": "unlimited"}


def listener(name: str, config: dict) -> dict:
    """A listener with this filter behind two filters that respond to some requests. It accepts headers of 64 KiB."""
    limits = {"name": "envoy.filters.http.local_ratelimit", "typed_config": UNLIMITED}
    routes = [
        {"match": {"connect_matcher": {}}, "route": {"cluster": "upstream"}},
        {"match": {"prefix": "/refused"}, "direct_response": {"status": 403}},
        {"match": {"prefix": "/moved"}, "redirect": {"path_redirect": "/"}},
        {"match": {"prefix": "/dead"}, "route": {"cluster": "dead"}},
        {"match": {"prefix": "/nowhere"}, "route": {"cluster_header": "x-no-such-header"}},
        make.to("upstream") | {"match": {"prefix": "/limited"}, "typed_per_filter_config": {limits["name"]: LIMIT}},
        make.to("upstream"),
    ]
    return make.listener(
        name, [FAULTS, limits, make.pinion(config)], routes,
        # A refused connection is closed at once, not after a second.
        delayed_close_timeout="0.01s",
        max_request_headers_kb=96, common_http_protocol_options={"max_headers_count": 16_000},
        http2_protocol_options={"allow_connect": True}, upgrade_configs=[{"upgrade_type": "websocket"}],
    )  # fmt: skip


REACHES = [
    "not UTF-8", "thousands of pairs", "300 crumbs", "3,000 crumbs", "15,000 empty crumbs", "1,000 crumbs of pins",
    "crumbs without names and values", "crumbs that are no text", "a cookie of 64 KiB", "a pin of 64 KiB",
    "64 KiB of crumbs", "64 KiB of separators", "64 KiB of quotes", "90 KiB in three crumbs",
    "thirty route headers", "thousands of route headers", "a route header of 64 KiB", "0-length values", "marks",
    "x-app-version with b'\\xff\\xfe'", "thousands of names", "only host", "host contradicts", "host says the same",
    "host b'[::1]:80'", "path b'/a/b%2F..'", "HEAD", "a preflight", "trailers with a pin and a route header",
    "trailers that are no text", "trailers of 64 KiB", "gRPC with trailers",
]  # fmt: skip
"""Exchanges that must reach the filter. If Envoy refused them, they would test nothing."""

PIN = re.compile(r"pinion-(shop|deep)=v1~\d+~0~\d+; Path=/; Max-Age=172800; SameSite=Lax; HttpOnly(; Secure)?")
"""The only cookie that this edge may set."""


async def exchanged(connection: Connection, exchange: Exchange) -> list[Stream]:
    """Sends an exchange and waits for its end. An exchange without an end is reset at once, and once more after it was
    read."""

    def send() -> Stream:
        stream = connection.request(exchange.headers, end=exchange.body is None)
        pieces = exchange.body or []
        for i, piece in enumerate(pieces):
            stream.send(piece, end=i == len(pieces) - 1 and exchange.trailers is None and not exchange.unended)
        if exchange.trailers is not None:
            stream.send_headers(exchange.trailers, end=True)
        return stream

    if not exchange.unended:
        stream = send()
        await stream.response()
        return [stream]
    at_once = send()
    at_once.give_up()
    read = send()
    await connection.caught_up()
    if not read.over:
        read.give_up()
    await connection.caught_up()
    return [at_once, read]


def judge(listener: str, name: str, response: Response) -> bool:
    """Checks what holds for every response. Returns whether an upstream made the response."""
    said, given = response.all("x-app-version"), response.all("set-cookie")
    if response.all("content-type") != ["application/json"]:
        assert (said, given) == ([], []), f"{name}: Envoy's own response"
        return False
    assert response.status == 200, name
    if listener == "workload":
        assert (said, given) == (["1.0"], []), name
        return True
    assert said in ([], ["1.0"], ["v1"]), name
    assert len(given) <= len(said) and all(PIN.fullmatch(cookie) for cookie in given), f"{name}: {given}"
    if response.body:
        decided = response.echo().all("x-app-version")
        assert len(decided) == len(said), f"{name}: decided {decided}, and {said} said"
    return True


async def ordinary(listener: str, port: int, connection: Connection, name: str) -> Connection:
    """Sends an ordinary request on this connection, or on a new one if it is closed. Returns the connection used."""
    response = None if connection.leaving else await connection.request(pseudo()).response()
    if response is None:
        assert connection.leaving, name
        connection.close()
        connection = await Connection.open(port)
        response = await connection.request(pseudo()).response()
        assert response is not None, name
    assert judge(listener, name, response) and response.get("x-app-version") == "1.0", name
    assert len(response.all("set-cookie")) == (listener == "edge"), name
    return connection


async def all_exchanges(listener: str, port: int) -> int:
    """Sends all exchanges one after the other. Returns the number of opened streams."""
    connection, sent, reached = await Connection.open(port), 0, set()
    for name, exchange in hostile_http2.exchanges().items():
        try:
            streams = await exchanged(connection, exchange)
            connection = await ordinary(listener, port, connection, name)
        except Exception as error:
            error.add_note(f"at {name!r}")
            raise
        sent += len(streams)
        for stream in streams:
            if (response := await stream.response()) and judge(listener, name, response):
                reached.add(name)
    connection.close()
    if listener == "workload":
        assert not [name for name in reached if name.startswith("a blocked")]
    bounced = sorted(set(REACHES) - reached)
    assert not bounced
    assert len(reached) > 140
    return sent


async def hung_up(port: int, sent: bytes) -> None:
    """Sends bytes on a new connection, closes the sending side, and waits until Envoy has closed the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), TIMEOUT)
    except ConnectionError:
        pass
    finally:
        writer.close()


async def all_connections(listener: str, port: int) -> int:
    beside = await Connection.open(port)
    found = hostile_http2.connections()
    for name, sent in found.items():
        await hung_up(port, sent)
        # An old connection and a new one.
        assert await ordinary(listener, port, beside, name) is beside
        (await ordinary(listener, port, await Connection.open(port), name)).close()
    beside.close()
    return len(found)


async def crowd(listener: str, port: int) -> int:
    """Sends streams in parallel on one connection and resets half of them. The others must not be mixed up."""
    connection = await Connection.open(port)
    streams: list[Stream] = []
    for i in range(200):
        path = b"/crowd/%d" % i
        if i % 4 == 0:
            stream = connection.request([*pseudo(path=path), (b"cookie", pin(i))])
        else:
            stream = connection.request([*pseudo(b"POST", path), (b"x-app-version", b"dark")], end=False)
            stream.send(b"hello")
        if i % 4 == 1:
            stream.give_up()
        streams.append(stream)
    for stream in streams[2::4]:
        stream.give_up()
    for stream in streams[3::4]:
        stream.send(b"world", end=True)
    for i in [*range(0, 200, 4), *range(3, 200, 4)]:
        response = await streams[i].response()
        assert response and judge(listener, f"crowd {i}", response)
        assert response.echo().path == f"/crowd/{i}"
        # Only a client without a pin gets one.
        assert len(response.all("set-cookie")) == (listener == "edge" and i % 4 == 3)
    (await ordinary(listener, port, connection, "crowd")).close()
    return len(streams)


def test_no_exchange_breaks_a_worker(binary, start):
    upstream = start(Upstream("upstream"))
    listeners = [listener("edge", hostile.CONFIG), listener("workload", hostile.WORKLOAD)]
    clusters = [make.cluster("upstream", upstream.port), make.cluster("dead", None)]
    envoy = start(Envoy(make.bootstrap(listeners, clusters), binary=binary))

    async def attack(listener: str) -> tuple[int, list[dict]]:
        port = envoy.port(listener)
        sent = [await attack(listener, port) for attack in (all_exchanges, all_connections, crowd)]
        return sum(sent), upstream.seen()

    sent, decided = asyncio.run(attack("edge"))
    assert sent > 600 and len(decided) > sent / 2
    hostile.assert_edge_strips_all(decided)
    oversized = 'pinion_pins_rejected_total{pin_app="shop",pin_cause="oversized"}'
    assert envoy.metrics()[oversized] > 10
    sent, judged = asyncio.run(attack("workload"))
    assert sent > 600 and len(judged) > sent / 2
    hostile.assert_workload_tags_once(judged)
    assert not [copy for copy in judged if copy["path"] == "/payments" and lines(copy["headers"], "x-mirrored")]
    for outcome in ("blocked", "tagged"):
        assert envoy.metrics()[f'pinion_mirrored_total{{pin_outcome="{outcome}"}}'] > 8, outcome
    hostile.assert_no_vm_failed(envoy)


@pytest.fixture
def edge(binary, start):
    """An edge of the hostile configuration with an ordinary upstream."""
    bootstrap = make.bootstrap(
        [listener("edge", hostile.CONFIG)],
        [make.cluster("upstream", start(Upstream("upstream")).port), make.cluster("dead", None)],
    )
    return start(Envoy(bootstrap, binary=binary))


def test_a_pin_is_found_in_any_of_512_cookie_crumbs(edge):
    async def run() -> None:
        connection = await Connection.open(edge.port())

        async def is_given_one(*crumbs: bytes) -> bool:
            stream = connection.request([*pseudo(), *((b"cookie", crumb) for crumb in crumbs)])
            response = await stream.response()
            assert response and judge("edge", f"{len(crumbs)} crumbs", response)
            return response.all("set-cookie") != []

        others = [b"a=b"] * 511
        for at in (0, 255, 511):
            assert not await is_given_one(*others[:at], pin(), *others[at:]), at
        assert await is_given_one(*others)
        assert await is_given_one(*others, pin(), b"a=b")
        # Envoy joins crumbs with two bytes.
        room = 32 * 1024 - len(pin() + b"; ")
        assert not await is_given_one(b"a" * room, pin())
        assert await is_given_one(b"a" * (room + 1), pin())
        connection.close()

    asyncio.run(run())


def test_trailers_are_ignored(edge):
    mark = [(b"x-tester", b"yes"), (b"x-override", b"dark"), (b"end-user", b"a@example.com"), (b"x-user-id", b"a")]
    tail = [(b"cookie", pin()), (b"x-app-version", b"dark"), (b"x-version-pin", pin()), *mark]

    async def run() -> None:
        connection = await Connection.open(edge.port())
        for body in (b"", b"hello"):
            stream = connection.request(pseudo(b"POST"), end=False)
            if body:
                stream.send(body)
            stream.send_headers(tail, end=True)
            response = await stream.response()
            assert response and judge("edge", "trailers", response)
            assert response.get("x-app-version") == "1.0" and response.get("set-cookie")
            assert response.echo().all("x-app-version") == ["v1"]
        connection.close()

    asyncio.run(run())
