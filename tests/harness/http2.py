"""HTTP/2 without TLS: a client that sends fields unchanged, and an upstream that a test scripts.

The client does not validate what it sends. It validates all that it receives, and an invalid response fails the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hpack import Encoder
from hyperframe.frame import GoAwayFrame

from .client import TIMEOUT, Header, Response
from .hostile import Field


def _text(headers: Iterable[Field]) -> list[Header]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


class Stream:
    """A stream at either end: the received data, and methods to send."""

    def __init__(self, peer: Peer, number: int):
        self.peer = peer
        self.number = number
        self.headers: list[Header] | None = None
        self.body = b""
        self.trailers: list[Header] | None = None
        self.ended = False
        """Whether the other end has ended the stream."""
        self.reset: int | None = None
        """The error code, if either end has reset the stream."""

    @property
    def over(self) -> bool:
        """Whether no more data can arrive."""
        return self.ended or self.reset is not None or self.peer.closed

    def send_headers(self, headers: Iterable[Field], *, end: bool = False) -> None:
        """Sends headers, or trailers if the headers were sent before."""
        self.peer.h2.send_headers(self.number, list(headers), end_stream=end)
        self.peer.flush()

    def send(self, data: bytes, *, end: bool = False) -> None:
        """Sends a part of the body."""
        self.peer.h2.send_data(self.number, data, end_stream=end)
        self.peer.flush()

    def give_up(self) -> None:
        """Sends RST_STREAM, as a browser does when the user leaves the page."""
        self.reset = ErrorCodes.CANCEL
        self.peer.h2.reset_stream(self.number, self.reset)
        self.peer.flush()

    async def until(self, done: Callable[[Stream], bool]) -> None:
        """Waits until a condition of this stream holds."""
        await self.peer.until(lambda: done(self))

    async def response(self) -> Response | None:
        """The complete response. None if the stream or the connection ended before."""
        await self.until(lambda stream: stream.over)
        if not self.ended or self.headers is None:
            return None
        status, *headers = self.headers
        assert status[0] == ":status", self.headers
        return Response(int(status[1]), headers, self.body)


class _Encoder(Encoder):
    """An HPACK encoder without Huffman coding, which would take most of the time of a long exchange."""

    def encode(self, headers: Iterable[Field], huffman: bool = False) -> bytes:
        return super().encode(headers, huffman)


class Peer(asyncio.Protocol):
    """One end of a connection."""

    def __init__(self, *, client: bool):
        self.h2 = H2Connection(
            H2Configuration(
                client_side=client, header_encoding=None, validate_outbound_headers=False,
                # Envoy's responses must be valid HTTP/2. Its requests may contain the client's invalid fields.
                normalize_outbound_headers=False, validate_inbound_headers=client, normalize_inbound_headers=False,
            )
        )  # fmt: skip
        self.h2.encoder = _Encoder()
        self.streams: dict[int, Stream] = {}
        self.settings = False
        self.pongs = 0
        self.closed = False
        self.error: ProtocolError | None = None
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.h2.receive_data(data):
                self.take(event)
        except ProtocolError as error:
            self.error = error
            self.closed = True
        self.flush()
        self._news.set()

    def take(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            self.settings = True
        elif isinstance(event, PingAckReceived):
            self.pongs += 1
        elif stream := self.streams.get(getattr(event, "stream_id", None)):
            if isinstance(event, ResponseReceived | RequestReceived):
                stream.headers = _text(event.headers)
            elif isinstance(event, DataReceived):
                stream.body += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, TrailersReceived):
                stream.trailers = _text(event.headers)
            elif isinstance(event, StreamEnded):
                stream.ended = True
            elif isinstance(event, StreamReset):
                stream.reset = int(event.error_code)

    def connection_lost(self, _: Exception | None) -> None:
        self.closed = True
        self._news.set()

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT):
            while not done():
                self._news.clear()
                await self._news.wait()
        assert self.error is None, f"invalid HTTP/2 was received: {self.error!r}"


class Connection(Peer):
    """A client's connection with any number of concurrent requests."""

    def __init__(self):
        super().__init__(client=True)
        self.leaving = False
        """Whether the server accepts no more requests. It may still respond to earlier ones."""
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        # h2 accepts nothing after a GOAWAY, so it does not get that frame.
        self._unread += data
        while len(self._unread) >= 9 and len(self._unread) >= (size := 9 + int.from_bytes(self._unread[:3])):
            frame, self._unread = self._unread[:size], self._unread[size:]
            if frame[3] == GoAwayFrame.type:
                self.leaving = True
            else:
                super().data_received(frame)

    def connection_lost(self, error: Exception | None) -> None:
        self.leaving = True
        super().connection_lost(error)

    @classmethod
    async def open(cls, port: int) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        await connection.until(lambda: connection.settings)
        return connection

    @property
    def may_extend_connect(self) -> bool:
        """Whether the server accepts RFC 8441's CONNECT with a `:protocol`."""
        return self.h2.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL) == 1

    def request(self, headers: Iterable[Field], *, end: bool = True) -> Stream:
        """Sends a request's fields, including the pseudo-headers, and returns its stream."""
        number = self.h2.get_next_available_stream_id()
        stream = self.streams[number] = Stream(self, number)
        stream.send_headers(headers, end=end)
        return stream

    async def caught_up(self) -> None:
        """Waits until the server has read all that was sent, which its response to a PING shows."""
        if self.closed:
            return
        before = self.pongs
        self.h2.ping(b"caughtup")
        self.flush()
        await self.until(lambda: self.pongs > before or self.closed)

    def close(self) -> None:
        self.transport.close()


class _Served(Peer):
    def __init__(self, server: Server):
        super().__init__(client=False)
        self.server = server
        self.answers: set[asyncio.Task] = set()

    def take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self.streams[event.stream_id] = Stream(self, event.stream_id)
        super().take(event)
        if isinstance(event, RequestReceived):
            stream = self.streams[event.stream_id]
            self.server.seen.append(stream)
            task = asyncio.create_task(self.server.answer(stream))
            self.answers.add(task)
            task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task) -> None:
        self.answers.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.server.failed.append(error)
            self.transport.abort()


class Server:
    """An upstream in the test's process. A function of the test responds to each request once its headers are there."""

    def __init__(self, answer: Callable[[Stream], Awaitable[None]]):
        self.answer = answer
        self.seen: list[Stream] = []
        self.failed: list[BaseException] = []

    async def __aenter__(self) -> Server:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Served(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()
        assert not self.failed, self.failed
