"""An upstream: an HTTP server that returns the received request as JSON.

    python -m harness.upstream NAME [PORT]

The server prints its port when it listens. The request header `x-test-answer`, a JSON list of pairs, adds header lines
to the response. `/__seen` returns the requests since its last call, with their times. After `/__fail?status=503` all
responses have that status, until `/__fail?status=0`.
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
"""More than any Envoy of the tests lets through, so that the upstream never refuses a request."""


class Responses:
    """The status of all responses."""

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
        status = Responses.status
        if said["path"].startswith(CONTROL):
            status, said = 200, control(said["path"])
        else:
            SEEN.append({**said, "at": time.time()})
        body = json.dumps(said).encode() + b"\n"
        lines = [("content-type", "application/json"), ("content-length", str(len(body))), *json.loads(told)]
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines]
        head = self.h11.send(h11.Response(status_code=status, headers=encoded))
        # A response to HEAD has no body.
        rest = b"" if self.request.method == b"HEAD" else self.h11.send(h11.Data(data=body))
        self.transport.write(head + rest + self.h11.send(h11.EndOfMessage()))


def control(path: str) -> list[dict]:
    """Executes a command of a test, and returns its result."""
    if path.startswith(f"{CONTROL}fail?status="):
        Responses.status = int(path.partition("=")[2]) or 200
        return []
    seen = [*SEEN]
    SEEN.clear()
    return seen


class Upstream:
    """An upstream in its own process, which ends with the block."""

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
        """The requests since the last call: method, path, headers, and the time in Unix seconds."""
        return self._control("seen")

    def fail(self, status: int) -> None:
        """Sets the status of all responses from now on. 0 resets it."""
        self._control(f"fail?status={status}")

    def _control(self, what: str) -> list[dict]:
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
