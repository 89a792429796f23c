"""WebSockets as a proxy sees them: an upgrade, and then bytes in both directions."""

from __future__ import annotations

import asyncio

from .client import TIMEOUT, Header
from .hostile import Field
from .http2 import Connection, Stream


class EchoServer:
    """Accepts upgrades and sends all bytes back."""

    def __init__(self):
        self.heads: list[bytes] = []
        """The heads of the received requests."""

    async def __aenter__(self) -> EchoServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        while data := await reader.read(1024):
            writer.write(data)
        writer.close()

    async def __aexit__(self, *_) -> None:
        self._server.close()


class WebSocket:
    """A connection that was upgraded with HTTP/1.1."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        rows = [row.split(": ", 1) for row in head.decode("latin-1").split("\r\n")[1:-2]]
        self.headers: list[Header] = [(name, value) for name, value in rows]
        """The headers of the server's response."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, *fields: Field) -> WebSocket:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sent = [(b"host", b"shop"), (b"connection", b"upgrade"), (b"upgrade", b"websocket"), *fields]
        writer.write(b"\r\n".join([b"GET /ws HTTP/1.1", *(name + b": " + value for name, value in sent), b"", b""]))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), TIMEOUT)
        assert head.startswith(b"HTTP/1.1 101"), head
        return cls(head, reader, writer)

    async def echoes(self, data: bytes) -> bool:
        """Whether the server sends these bytes back."""
        self._writer.write(data)
        return await asyncio.wait_for(self._reader.readexactly(len(data)), TIMEOUT) == data

    def close(self) -> None:
        self._writer.close()


class Http2WebSocket:
    """A WebSocket on a stream of HTTP/2 (RFC 8441), with its own connection."""

    def __init__(self, connection: Connection, stream: Stream):
        self.headers: list[Header] = stream.headers
        """The headers of the server's response."""
        self._connection = connection
        self._stream = stream

    @classmethod
    async def open(cls, port: int, *fields: Field) -> Http2WebSocket:
        connection = await Connection.open(port)
        assert connection.may_extend_connect
        asked = [(b":method", b"CONNECT"), (b":protocol", b"websocket")]
        target = [(b":scheme", b"http"), (b":authority", b"shop"), (b":path", b"/ws")]
        stream = connection.request([*asked, *target, *fields], end=False)
        await stream.until(lambda stream: stream.headers or stream.over)
        assert stream.headers and (":status", "200") in stream.headers, stream.headers
        return cls(connection, stream)

    async def echoes(self, data: bytes) -> bool:
        """Whether the server sends these bytes back."""
        before = len(self._stream.body)
        self._stream.send(data)
        await self._stream.until(lambda stream: len(stream.body) >= before + len(data) or stream.over)
        return self._stream.body[before:] == data

    def close(self) -> None:
        self._connection.close()
