"""A pod's app: the upstream of the tests, which can also fail and call another service.

    python app.py NAME [ADDRESS PORT SERVICE]

The response to `/status/503` has that status. With a service to call, the app sends each request on through the sidecar
at that address, with all headers of the request. Its response then contains the service's response as `next`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys

import h11

from harness.upstream import ROOT, Server, Upstream


class App(Server):
    def __init__(self, name: str, called: tuple[str, int, str] | None):
        super().__init__(name)
        self.called = called

    def answer(self) -> None:
        path = self.request.target.decode("latin-1")
        if path.startswith("/status/"):
            self.send(int(path.removeprefix("/status/")), {"version": self.version})
        elif self.called and path != "/__seen":
            self.send(200, {"version": self.version, "headers": self.headers(), "path": path, "next": self.call(path)})
        else:
            super().answer()

    def headers(self) -> list[tuple[str, int, str]]:
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.request.headers]

    def call(self, path: str) -> dict:
        address, port, service = self.called
        connection = http.client.HTTPConnection(address, port, timeout=20)
        passed = {name: value for name, value in self.headers() if name not in ("host", "content-length")}
        connection.request("GET", path, headers={**passed, "host": service})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return {"status": response.status, "x-app-version": response.headers.get("x-app-version"), **json.loads(body)}

    def send(self, status: int, said: dict) -> None:
        body = json.dumps(said).encode() + b"\n"
        lines = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        head = self.h11.send(h11.Response(status_code=status, headers=lines))
        self.transport.write(head + self.h11.send(h11.Data(data=body)) + self.h11.send(h11.EndOfMessage()))


class Pod(Upstream):
    """An app in its own process, which ends with the block."""

    def __init__(self, name: str, called: tuple[str, int, str] | None = None):
        super().__init__(name)
        self.called = called

    def __enter__(self) -> Pod:
        command = [sys.executable, __file__, self.version, *map(str, self.called or ())]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT / "tests")}
        )
        line = self.process.stdout.readline()
        if not line.strip().isdigit():
            raise RuntimeError(f"the app {self.version} did not start")
        self.port = int(line)
        return self


async def main(name: str, called: tuple[str, int, str] | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: App(name, called), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], (sys.argv[2], int(sys.argv[3]), sys.argv[4]) if len(sys.argv) > 2 else None))
    except KeyboardInterrupt:
        pass
