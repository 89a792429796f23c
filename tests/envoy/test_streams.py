"""gRPC over HTTP/2 and WebSockets are pinned and stamped as other requests are."""

import asyncio
import contextlib
import re

import pytest

from harness import bootstrap as make
from harness.client import Header, lines
from harness.envoy import Envoy
from harness.hostile import Field
from harness.hostile_http2 import GRPC, pseudo
from harness.http2 import Connection, Server, Stream
from harness.websocket import EchoServer, Http2WebSocket, WebSocket

LABELS = {"v1": "1.0", "v2": "2.0"}
VERSIONS = [{"name": name, "label": label, "weight": 50} for name, label in LABELS.items()]
EDGE = {"apps": [{"name": "greeter", "versions": VERSIONS, "stable": "v1"}]}
WORKLOAD = {
    "stamp": {"from": {"value": "v1"}, "label": {"value": "1.0"}},
    "mirror": {"block": [{"paths": ["/greeter.Greeter/Pay"]}]},
}

MESSAGE = b"\0\0\0\0\x02\x0a\0"
"""An uncompressed gRPC message of two bytes."""


class Greeter:
    """A version of a gRPC service."""

    def __init__(self):
        self.go_on = asyncio.Event()
        """The event for which a stream of messages waits after the first one."""

    async def __call__(self, call: Stream) -> None:
        await call.until(lambda call: call.over)
        answer = [(b":status", b"200"), (b"content-type", b"application/grpc")]
        method = dict(call.headers)[":path"].rpartition("/")[2]
        if method == "Refuse":
            call.send_headers([*answer, (b"grpc-status", b"7"), (b"grpc-message", b"no")], end=True)
            return
        if method == "Proxied":
            # The service passes on the stamp of another service's proxy.
            answer.append((b"x-app-version", b"9.9"))
        call.send_headers(answer)
        call.send(MESSAGE)
        if method == "Watch":
            await self.go_on.wait()
            call.send(MESSAGE)
        call.send_headers([(b"grpc-status", b"0")], end=True)


def call(connection: Connection, method: bytes = b"Hello", *fields: Field, authority: bytes = b"greeter") -> Stream:
    stream = connection.request([*pseudo(b"POST", b"/greeter.Greeter/" + method, authority), *GRPC, *fields], end=False)
    stream.send(MESSAGE, end=True)
    return stream


def only(headers: list[Header], name: str) -> str:
    (value,) = lines(headers, name)
    return value


def pin_of(headers: list[Header]) -> str:
    """The pin that the response sets, as a client sends it back."""
    return only(headers, "set-cookie").partition(";")[0]


@contextlib.asynccontextmanager
async def greeters(binary, start):
    """An edge in front of both versions, and a workload's proxy in front of the first. Returns the servers and ports."""
    async with Server(Greeter()) as v1, Server(Greeter()) as v2:
        servers = {"v1": v1, "v2": v2}
        routes = [make.to(name, x_app_version=name) for name in servers]
        listeners = [
            make.listener("edge", [make.pinion(EDGE)], routes),
            make.listener("workload", [make.pinion(WORKLOAD)], [make.to("v1")]),
        ]
        clusters = [make.cluster(name, server.port, **make.HTTP2) for name, server in servers.items()]
        envoy = await asyncio.to_thread(start, Envoy(make.bootstrap(listeners, clusters), binary=binary))
        connections = {name: await Connection.open(envoy.port(name)) for name in ("edge", "workload")}
        yield servers, connections["edge"], connections["workload"]
        for connection in connections.values():
            connection.close()


def served_by(servers: dict[str, Server]) -> tuple[str, Stream]:
    """The version that served the only call since the last check, and the call as it arrived."""
    (found,) = [(name, server.seen.pop()) for name, server in servers.items() if server.seen]
    assert not any(server.seen for server in servers.values())
    return found


NEWCOMERS = 60
"""So many clients without a pin all draw the same version once in 2^59 runs."""


async def homes(servers, edge: Connection, method: bytes, wait) -> dict[str, str]:
    """Sends calls of new clients until both versions have served. Returns a pin for each version."""
    pins = {}
    for _ in range(NEWCOMERS):
        if len(pins) == len(LABELS):
            return pins
        stream = call(edge, method, (b"x-app-version", b"v9"))
        await wait(stream)
        version, reached = served_by(servers)
        assert only(reached.headers, "x-app-version") == version
        assert only(stream.headers, "x-app-version") == LABELS[version]
        assert pin_of(stream.headers).startswith(f"pinion-greeter={version}~")
        pins[version] = pin_of(stream.headers)
    pytest.fail("all met the same version")


async def whole(stream: Stream) -> None:
    response = await stream.response()
    assert response and response.status == 200 and response.get("content-type") == "application/grpc"


@pytest.mark.parametrize(
    "method, status, body", [(b"Hello", "0", MESSAGE), (b"Refuse", "7", b"")], ids=["unary", "trailers-only"]
)
def test_a_grpc_call_is_pinned_and_stamped_and_its_pin_is_valid(binary, start, method, status, body):
    async def run() -> None:
        async with greeters(binary, start) as (servers, edge, workload):
            pins = await homes(servers, edge, method, whole)
            for version, pin in [*pins.items()] * 3:
                other = b"v2" if version == "v1" else b"v1"
                stream = call(edge, method, (b"cookie", pin.encode()), (b"x-app-version", other))
                await whole(stream)
                served, reached = served_by(servers)
                assert (served, only(reached.headers, "x-app-version")) == (version, version)
                assert only(stream.headers, "x-app-version") == LABELS[version]
                assert lines(stream.headers, "set-cookie") == []
                # The other fields are the service's. Its status is in the trailers, or in the headers without a message.
                assert stream.body == body
                ending = stream.headers if method == b"Refuse" else stream.trailers
                assert only(ending, "grpc-status") == status
                if method == b"Refuse":
                    assert stream.trailers is None
                else:
                    assert stream.trailers == [("grpc-status", "0")]
            stream = call(workload, method)
            await whole(stream)
            assert (only(stream.headers, "x-app-version"), lines(stream.headers, "set-cookie")) == ("1.0", [])
            assert (stream.body, served_by(servers)[0]) == (body, "v1")

    asyncio.run(run())


def test_a_stream_of_messages_is_pinned_before_its_end(binary, start):
    async def run() -> None:
        async with greeters(binary, start) as (servers, edge, workload):

            async def begun(stream: Stream) -> None:
                await stream.until(lambda stream: stream.body == MESSAGE or stream.over)
                assert stream.headers and not stream.over

            pins = await homes(servers, edge, b"Watch", begun)
            pinned = call(edge, b"Watch", (b"cookie", pins["v2"].encode()))
            await begun(pinned)
            assert (served_by(servers)[0], only(pinned.headers, "x-app-version")) == ("v2", "2.0")
            stamped = call(workload, b"Watch")
            await begun(stamped)
            assert only(stamped.headers, "x-app-version") == "1.0"
            for server in servers.values():
                server.answer.go_on.set()
            for stream in (*edge.streams.values(), stamped):
                await whole(stream)
                assert (stream.body, stream.trailers) == (MESSAGE * 2, [("grpc-status", "0")])

    asyncio.run(run())


def test_a_workload_overrides_the_stamp_of_a_grpc_call_and_blocks_its_copies(binary, start):
    async def run() -> None:
        async with greeters(binary, start) as (servers, _, workload):
            stream = call(workload, b"Proxied")
            await whole(stream)
            assert only(stream.headers, "x-app-version") == "1.0"
            assert served_by(servers)[0] == "v1"
            copy = call(workload, b"Pay", authority=b"greeter-shadow:80")
            await whole(copy)
            # gRPC's form of a response without a body: all fields are in the headers.
            assert lines(copy.headers, "grpc-status") and (copy.body, copy.trailers) == (b"", None)
            await whole(call(workload, b"Pay"))
            assert lines(served_by(servers)[1].headers, "x-mirrored") == []

    asyncio.run(run())


@pytest.mark.parametrize("kind", [WebSocket, Http2WebSocket], ids=["HTTP/1.1", "HTTP/2"])
def test_a_websocket_is_pinned_and_stamped_and_its_pin_is_valid(binary, start, kind):
    async def run() -> None:
        async with EchoServer() as v1, EchoServer() as v2:
            servers = {"v1": v1, "v2": v2}
            upgrades = [{"upgrade_type": "websocket"}]
            extended = {"upgrade_configs": upgrades, "http2_protocol_options": {"allow_connect": True}}
            routes = [make.to(name, x_app_version=name) for name in servers]
            listeners = [
                make.listener("edge", [make.pinion(EDGE)], routes, **extended),
                make.listener("workload", [make.pinion(WORKLOAD)], [make.to("v1")], **extended),
            ]
            clusters = [make.cluster(name, server.port) for name, server in servers.items()]
            envoy = await asyncio.to_thread(start, Envoy(make.bootstrap(listeners, clusters), binary=binary))

            async def opened(listener: str, *fields: Field) -> tuple[str, list[Header]]:
                """The version that accepted the WebSocket, and the headers of the response."""
                socket = await kind.open(envoy.port(listener), *fields)
                assert await socket.echoes(b"hello")
                socket.close()
                ((version, head),) = [(name, server.heads.pop()) for name, server in servers.items() if server.heads]
                if listener == "edge":
                    assert re.findall(rb"x-app-version: (.*)\r\n", head) == [version.encode()]
                    assert only(socket.headers, "x-app-version") == LABELS[version]
                return version, socket.headers

            pins = {}
            for _ in range(NEWCOMERS):
                version, headers = await opened("edge", (b"x-app-version", b"v9"))
                pins[version] = pin_of(headers)
                assert pins[version].startswith(f"pinion-greeter={version}~")
                if len(pins) == len(LABELS):
                    break
            assert set(pins) == set(LABELS)
            for version, pin in [*pins.items()] * 3:
                again, headers = await opened("edge", (b"cookie", pin.encode()), (b"x-app-version", b"v9"))
                assert (again, lines(headers, "set-cookie")) == (version, [])
            _, headers = await opened("workload")
            assert (only(headers, "x-app-version"), lines(headers, "set-cookie")) == ("1.0", [])

    asyncio.run(run())
