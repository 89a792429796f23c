"""An HTTP/1.1 client that sends header lines unchanged, whatever bytes they contain, and returns all header lines."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterable

import h11

Header = tuple[str, str]
"""A name and a value. Each character is one byte (Latin-1)."""

TIMEOUT = 20
"""The most seconds that a request takes."""


def lines(headers: Iterable[Header], name: str) -> list[str]:
    """All lines of a header."""
    return [value for field, value in headers if field == name]


@dataclasses.dataclass(frozen=True)
class Response:
    status: int
    headers: list[Header]
    body: bytes

    def all(self, name: str) -> list[str]:
        """All lines of a header."""
        return lines(self.headers, name)

    def get(self, name: str) -> str | None:
        """The only line of a header. None if there is none."""
        found = self.all(name)
        assert len(found) <= 1, f"{name} has {len(found)} lines: {found}"
        return found[0] if found else None

    def echo(self) -> Echo:
        """The request as it arrived at the upstream."""
        echo = json.loads(self.body)
        return Echo(echo["version"], [(name, value) for name, value in echo["headers"]], echo["path"])


@dataclasses.dataclass(frozen=True)
class Echo:
    version: str
    headers: list[Header]
    path: str

    def all(self, name: str) -> list[str]:
        """All lines of a header as they arrived at the upstream."""
        return lines(self.headers, name)


class Connection:
    """A keep-alive connection with one request at a time."""

    def __init__(self, port: int):
        self.port = port
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._h11 = h11.Connection(h11.CLIENT)

    async def request(
        self,
        path: str = "/",
        *,
        host: str = "example.com",
        method: str = "GET",
        headers: Iterable[Header] = (),
    ) -> Response:
        async with asyncio.timeout(TIMEOUT):
            return await self._request(path, host, method, headers)

    async def _request(self, path: str, host: str, method: str, headers: Iterable[Header]) -> Response:
        if self._stream is None:
            self._stream = await asyncio.open_connection("127.0.0.1", self.port)
            self._h11 = h11.Connection(h11.CLIENT)
        reader, writer = self._stream
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in [("host", host), *headers]]
        request = h11.Request(method=method, target=path.encode("latin-1"), headers=encoded)
        writer.write((self._h11.send(request) or b"") + (self._h11.send(h11.EndOfMessage()) or b""))
        head, body = None, b""
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                self._h11.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("the connection was closed before the response")
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        else:
            await self.close()
        assert head is not None
        seen = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
        return Response(head.status_code, seen, body)

    async def close(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None


class Browser:
    """A client on one connection that keeps its cookies, by name only."""

    def __init__(self, port: int):
        self.connection = Connection(port)
        self.cookies: dict[str, str] = {}

    async def request(self, path: str = "/", *, headers: Iterable[Header] = (), **how) -> Response:
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        carried = [("cookie", jar)] if jar else []
        response = await self.connection.request(path, headers=[*headers, *carried], **how)
        for cookie in response.all("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response

    async def close(self) -> None:
        await self.connection.close()


async def gather(jobs: Iterable, at_once: int = 16) -> list:
    """The results of the jobs, in order. At most `at_once` jobs run at a time."""
    gate = asyncio.Semaphore(at_once)

    async def run(job):
        async with gate:
            return await job

    return await asyncio.gather(*(run(job) for job in jobs))
