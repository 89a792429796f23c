"""A small web app in one version, whose pages load parts of every kind.

    python -m browser.app VERSION

It prints its port once it listens. The name of each bundle has the version's hash in it, and the other version answers
404 for that name. The first label of the host, up to its last dash, names the caching headers of the pages (`KINDS`).

`/__seen?HOST` lists the earlier requests for a host. After `/__fail?status=503` every answer has that status, until
`/__fail?status=0`.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import hashlib
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

BUILT = {"v1": "Wed, 04 Nov 2026 10:00:00 GMT", "v2": "Thu, 05 Nov 2026 10:00:00 GMT"}
"""When each version was built: long before, so that a browser may keep a page with this `Last-Modified` for a day."""

KINDS: dict[str, list[tuple[str, str]]] = {
    "nothing": [],
    "no-cache": [("cache-control", "no-cache")],
    "express": [("cache-control", "public, max-age=0"), ("etag", 'W/"{version}"'), ("last-modified", "{built}")],
    "nextjs": [("cache-control", "s-maxage=31536000")],
    "etag": [("cache-control", "no-cache"), ("etag", '"{version}"')],
    "never": [("cache-control", "private, no-cache, no-store, max-age=0")],
    "modified": [("last-modified", "{built}")],
    "expired": [("cache-control", "no-cache"), ("expires", "0")],
    "cdn": [("cache-control", "no-cache"), ("cdn-cache-control", "max-age=600")],
    "surrogate": [("cache-control", "no-cache"), ("surrogate-control", "max-age=600")],
    "edge": [("cache-control", "no-cache"), ("edge-control", "max-age=600")],
    "accel": [("cache-control", "no-cache"), ("x-accel-expires", "600")],
}
"""The caching headers of pages, by the name that a host begins with."""

MOVED = {"/moved": "/arrived", "/paid": "/thanks"}
"""Where a redirect from a path leads."""

FOREVER = ("cache-control", "public, max-age=31536000, immutable")
UNKEPT = ("cache-control", "no-store")

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css",
    "svg": "image/svg+xml",
    "json": "application/json",
}


def build(version: str) -> str:
    """The hash in the names of a version's bundles."""
    return hashlib.sha256(version.encode()).hexdigest()[:8]


SITE = Path(__file__).parent / "site"
PAGE, FRAME, WORKER, SERVICE_WORKER = (
    (SITE / name).read_text() for name in ("page.html", "frame.html", "worker.js", "sw.js")
)
SCRIPT = 'const version = "VERSION";\n'
MODULE = 'export const version = "VERSION";\n'
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>\n'


class App:
    def __init__(self, version: str):
        self.version = version
        self.seen: dict[str, list[dict]] = collections.defaultdict(list)
        self.status = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves a connection until its end."""
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; returns whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        if "chunked" in headers.get("transfer-encoding", ""):
            while int((await reader.readuntil(b"\r\n")).strip(), 16):
                await reader.readuntil(b"\r\n")
            await reader.readuntil(b"\r\n")
        await reader.readexactly(int(headers.get("content-length", 0)))
        if target.startswith("/__"):
            body = json.dumps(self._control(target)).encode()
            self._write(writer, 200, [("content-type", TYPES["json"])], body)
            return True
        record = {"id": headers.get("x-request-id"), "version": self.version, "target": target}
        self.seen[headers.get("host", "")].append(record)
        if self.status:
            record["status"] = self.status
            self._write(writer, self.status, [], b"failing")
            return True
        path = target.partition("?")[0]
        if path == "/socket" and headers.get("upgrade", "").lower() == "websocket":
            record["status"] = 101
            await self._socket(headers["sec-websocket-key"], reader, writer)
            return False
        status, lines, body = self._answer(path, headers)
        record["status"] = status
        self._write(writer, status, lines, b"" if method == "HEAD" else body)
        await writer.drain()
        return True

    def _control(self, target: str) -> list[dict]:
        if target.startswith("/__fail?status="):
            self.status = int(target.partition("=")[2])
            return []
        return self.seen.get(target.partition("?")[2], [])

    def _write(self, writer: asyncio.StreamWriter, status: int, lines: list[tuple[str, str]], body: bytes) -> None:
        told = [f"HTTP/1.1 {status} Said"]
        told += [f"{name}: {value}" for name, value in [*lines, ("content-length", str(len(body)))]]
        writer.write("\r\n".join([*told, "", ""]).encode() + (b"" if status == 304 else body))

    def _answer(self, path: str, headers: dict[str, str]) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, header lines and body of what stands at a path."""
        if path.startswith("/api/"):
            body = json.dumps({"version": self.version})
            return 200, [("content-type", TYPES["json"]), UNKEPT], body.encode()
        if path == "/events":
            return 200, [("content-type", "text/event-stream"), UNKEPT], f"data: {self.version}\n\n".encode()
        if path == "/sw.js":
            lines = [("content-type", TYPES["js"]), ("cache-control", "no-cache")]
            return 200, lines, self._fill(SERVICE_WORKER, path)
        if path in MOVED:
            return 303 if path == "/paid" else 302, [("location", f"https://{headers['host']}{MOVED[path]}")], b""
        if path.startswith("/assets/"):
            return self._asset(path)
        return self._page(path, headers)

    def _asset(self, path: str) -> tuple[int, list[tuple[str, str]], bytes]:
        name, found, ending = path.removeprefix("/assets/").partition(f".{build(self.version)}.")
        if not found:
            # As most servers say it, without a caching header.
            return 404, [("content-type", "text/plain")], b"no such bundle\n"
        lines = [("content-type", TYPES[ending]), FOREVER]
        if ending == "svg":
            return 200, lines, PICTURE.encode()
        if ending == "css":
            return 200, lines, b"body { margin: 0 }\n"
        if name.startswith("worker-") and name != "worker-part":
            return 200, lines, self._fill(WORKER, path)
        return 200, lines, self._fill(MODULE if name.startswith(("main", "chunk")) else SCRIPT, path)

    def _page(self, path: str, headers: dict[str, str]) -> tuple[int, list[tuple[str, str]], bytes]:
        kind = headers.get("host", "").partition(".")[0].rpartition("-")[0]
        told = {"version": self.version, "built": BUILT[self.version]}
        caching = [(name, value.format(**told)) for name, value in KINDS.get(kind, KINDS["never"])]
        named = dict(caching)
        fresh = headers.get("if-none-match") == named.get("etag", "")
        if "if-none-match" not in headers:
            fresh = headers.get("if-modified-since") == named.get("last-modified", "")
        if fresh:
            return 304, caching, b""
        page = FRAME if path == "/frame" else PAGE
        return 200, [("content-type", TYPES["html"]), *caching], self._fill(page, path)

    def _fill(self, text: str, path: str) -> bytes:
        replaced = {"VERSION": self.version, "BUILD": build(self.version), "PATH": path}
        for name, value in replaced.items():
            text = text.replace(name, value)
        return text.encode()

    async def _socket(self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A WebSocket that says the version and then waits for the end."""
        accepted = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        lines = ["HTTP/1.1 101 Switching Protocols", "connection: upgrade", "upgrade: websocket"]
        lines.append(f"sec-websocket-accept: {base64.b64encode(accepted).decode()}")
        said = self.version.encode()
        writer.write("\r\n".join([*lines, "", ""]).encode() + bytes([0x81, len(said)]) + said)
        await reader.read(1024)
        # It answers the client's close frame, whatever came, with one of its own.
        writer.write(bytes([0x88, 0]))
        await writer.drain()


class AppProcess:
    """The app in one version in a process of its own, ended with the block."""

    def __init__(self, version: str):
        self.version = version

    def __enter__(self) -> AppProcess:
        command = [sys.executable, "-m", "browser.app", self.version]
        self.process = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.strip().isdigit():
            raise RuntimeError(f"the app {self.version} did not start")
        self.port = int(line)
        return self

    def seen(self, host: str) -> list[dict]:
        """The requests for a host that came: id, version, target, status."""
        return self._told(f"seen?{host}")

    def fail(self, status: int) -> None:
        """Has it answer with that status from now on; 0 ends it."""
        self._told(f"fail?status={status}")

    def _told(self, what: str) -> list[dict]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/__{what}", timeout=10) as response:
            return json.load(response)

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


async def main(version: str) -> None:
    server = await asyncio.start_server(App(version).serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except KeyboardInterrupt:
        pass
