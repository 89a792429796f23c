"""An upstream: an HTTP server that answers with what reached it, as JSON.

    python -m harness.upstream NAME [PORT]

It prints its port once it listens. The request header `x-test-answer`, a JSON list of pairs, adds header lines to the
answer. `/__seen` lists the requests that came before, with the time of each, and forgets them. After
`/__fail?status=503` every answer has that status, until `/__fail?status=0`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections import deque
from pathlib import Path

import h11

ROOT = Path(__file__).resolve().parents[2]


SEEN: deque[dict] = deque(maxlen=10_000)
CONTROL = "/__"
LONGEST_HEAD = 256 * 1024
"""Above what any Envoy of the tests lets through, so that it is never the upstream that refuses."""


class Mood:
    """How the answers are now."""

    status = 200


class Server(asyncio.Protocol):
    def __init__(self, version: str):
        self.version = version
        self.h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_HEAD)
        self.request: h11.Request | None = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.h11.receive_data(data)
        while True:
            try:
                event = self.h11.next_event()
            except h11.RemoteProtocolError:
                self.transport.close()
                return
            if isinstance(event, h11.Request):
                self.request = event
            elif isinstance(event, h11.EndOfMessage):
                self.answer()
                if self.h11.our_state is not h11.DONE:
                    self.transport.close()
                    return
                self.h11.start_next_cycle()
            elif event is h11.NEED_DATA or event is h11.PAUSED:
                return
            elif isinstance(event, h11.ConnectionClosed):
                self.transport.close()
                return

    def answer(self):
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.request.headers]
        told = dict(headers).get("x-test-answer", "[]")
        said = {
            "version": self.version,
            "method": self.request.method.decode("latin-1"),
            "path": self.request.target.decode("latin-1"),
            "headers": headers,
        }
        status = Mood.status
        if said["path"].startswith(CONTROL):
            status, said = 200, control(said["path"])
        else:
            SEEN.append({**said, "at": time.time()})
        body = json.dumps(said).encode() + b"\n"
        lines = [("content-type", "application/json"), ("content-length", str(len(body))), *json.loads(told)]
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines]
        head = self.h11.send(h11.Response(status_code=status, headers=encoded))
        # After HEAD there is nothing to send behind the head.
        rest = b"" if self.request.method == b"HEAD" else self.h11.send(h11.Data(data=body))
        self.transport.write(head + rest + self.h11.send(h11.EndOfMessage()))


def control(path: str) -> list[dict]:
    """What a test tells the upstream itself."""
    if path.startswith(f"{CONTROL}fail?status="):
        Mood.status = int(path.partition("=")[2]) or 200
        return []
    seen = [*SEEN]
    SEEN.clear()
    return seen


class Upstream:
    """An upstream in a process of its own, ended with the block."""

    def __init__(self, version: str, port: int = 0):
        self.version = version
        self.wanted = port

    def __enter__(self) -> Upstream:
        command = [sys.executable, "-m", "harness.upstream", self.version, str(self.wanted)]
        self.process = subprocess.Popen(command, cwd=ROOT / "tests", stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.strip().isdigit():
            raise RuntimeError(f"the upstream {self.version} did not start; is port {self.wanted} taken?")
        self.port = int(line)
        return self

    def seen(self) -> list[dict]:
        """The requests that came since this was asked last: method, path, headers, and when, in Unix seconds."""
        return self._told("seen")

    def fail(self, status: int) -> None:
        """Has it answer with that status from now on; 0 ends it."""
        self._told(f"fail?status={status}")

    def _told(self, what: str) -> list[dict]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{CONTROL}{what}", timeout=10) as response:
            return json.load(response)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


async def main(version: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(version), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
    except KeyboardInterrupt:
        pass
