"""Every bootstrap of `envoy/` runs under func-e, as its first lines say.

func-e looks up the newest release in a list of versions, finds it under its data folder, and runs it. The test serves
that list on the loopback interface and puts an Envoy of the tests into the folder, so nothing is downloaded.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
import urllib.request
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from harness.client import Connection
from harness.envoy import ROOT, START_SECONDS, TOOLS, EnvoyFailed, end, free_port, load, release, walk
from harness.upstream import Upstream

FUNC_E = TOOLS / "bin" / "func-e"
BOOTSTRAPS = sorted(path for path in (ROOT / "envoy").glob("*.yaml") if not path.name.endswith(".pinion.yaml"))
PLATFORMS = ["linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"]


@pytest.fixture(scope="module")
def func_e() -> Path:
    """The real func-e."""
    if not FUNC_E.exists():
        if shutil.which("go"):
            pytest.fail("func-e is not built: `make test-envoy` builds it")
        pytest.skip("Go is not on this machine, so func-e cannot be built")
    return FUNC_E


@pytest.fixture
def home(binary, tmp_path):
    """The environment of a func-e that has the Envoy of the tests as the newest release."""
    version = release(binary)
    installed = tmp_path / "data" / "envoy-versions" / version / "bin" / "envoy"
    installed.parent.mkdir(parents=True)
    installed.symlink_to(binary)
    tarballs = {platform: "http://127.0.0.1/never-fetched.tar.xz" for platform in PLATFORMS}
    listed = {"versions": {version: {"releaseDate": "2026-01-01", "tarballs": tarballs}}, "sha256sums": {}}

    class Versions(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(listed).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Versions)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FUNC_E_", "ENVOY"))}
    yield {
        **inherited,
        "ENVOY_VERSIONS_URL": f"http://127.0.0.1:{server.server_port}/envoy-versions.json",
        "FUNC_E_CONFIG_HOME": str(tmp_path / "config"),
        "FUNC_E_DATA_HOME": str(tmp_path / "data"),
        "FUNC_E_STATE_HOME": str(tmp_path / "state"),
        "FUNC_E_RUNTIME_DIR": str(tmp_path / "run"),
    }
    server.shutdown()
    server.server_close()


def head(path: Path) -> str:
    """The comment at the top of a bootstrap."""
    return "".join(line.lstrip("# ") for line in re.match(r"(#.*\n)+", path.read_text())[0].splitlines(keepends=True))


def curls(text: str) -> list[str]:
    """The curl commands of a text, one a line."""
    return [line.removeprefix("$ ") for line in text.splitlines() if re.match(r"(\$ )?curl ", line)]


def on_free_ports(bootstrap: dict) -> dict[int, int]:
    """Replaces each port that a bootstrap names by a free one, the same for each mention."""
    ports: dict[int, int] = {}

    def replace(node: dict) -> None:
        if named := node.get("port_value"):
            if named not in ports:
                ports[named] = free_port()
            node["port_value"] = ports[named]

    walk(bootstrap, replace)
    return ports


def port_of(node: dict) -> int:
    """The port of a listener or of a cluster with one endpoint."""
    found = []
    walk(node, lambda each: found.append(each["port_value"]) if "port_value" in each else None)
    assert len(found) == 1, found
    return found[0]


class Run:
    """`func-e run -c FILE` in the repository's folder, ended with the block."""

    def __init__(self, func_e: Path, config: Path, admin_port: int, environment: dict[str, str]):
        # Each Envoy of a machine needs a shared memory region of its own.
        self.command = [func_e, "run", "-c", config, "--concurrency", "1", "--use-dynamic-base-id"]
        self.admin = f"http://127.0.0.1:{admin_port}"
        self.environment = environment
        self.log_file = config.with_suffix(".log")

    def __enter__(self) -> Run:
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                end(self.process)
                raise EnvoyFailed(f"func-e did not start Envoy:\n{self.log()[-20_000:]}")
            time.sleep(0.05)
        return self

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.admin}/ready", timeout=10) as response:
                return response.read() == b"LIVE\n"
        except OSError:
            return False

    def __exit__(self, failure, *_) -> None:
        end(self.process)
        if failure:
            print(self.log()[-20_000:])

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")


async def answered(command: str, ports: dict[int, int]) -> int:
    """The status that a curl command gets, with its port replaced."""
    *words, url = shlex.split(command.partition("#")[0])
    port, path = re.fullmatch(r"localhost:(\d+)(/.*)?", url).groups()
    headers = {}
    for i, word in enumerate(words):
        assert word in ("curl", "-i", "-H") or words[i - 1] == "-H", f"{word} of {command}"
        if words[i - 1] == "-H":
            name, _, value = word.partition(": ")
            headers[name.lower()] = value
    connection = Connection(ports[int(port)])
    try:
        host = headers.pop("host", f"localhost:{port}")
        return (await connection.request(path or "/", host=host, headers=headers.items())).status
    finally:
        await connection.close()


@pytest.mark.parametrize("path", BOOTSTRAPS, ids=lambda path: path.name)
def test_a_bootstrap_runs_as_its_first_lines_say(func_e, home, binary, path, tmp_path):
    said = head(path)
    assert f"func-e run -c {path.relative_to(ROOT)}\n" in said
    assert "from the repository's root" in said
    commands = curls(said)
    assert commands

    bootstrap = load(path)
    ports = on_free_ports(bootstrap)
    config = tmp_path / path.name
    config.write_text(yaml.safe_dump(bootstrap))
    static = bootstrap["static_resources"]
    listeners = {port_of(listener) for listener in static["listeners"]}
    clusters = {cluster["name"]: port_of(cluster) for cluster in static["clusters"]}
    admin_port = bootstrap["admin"]["address"]["socket_address"]["port_value"]
    with ExitStack() as stack:
        for name, port in clusters.items():
            if port not in listeners:
                stack.enter_context(Upstream(name, port))
        running = stack.enter_context(Run(func_e, config, admin_port, home))
        for command in commands:
            assert asyncio.run(answered(command, ports)) == 200, command
        assert f"starting: {home['FUNC_E_DATA_HOME']}/envoy-versions/{release(binary)}/bin/envoy" in running.log()


def test_the_quick_start_of_the_readme_is_that_of_the_bootstrap():
    block = next(
        block
        for block in re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        if "func-e run" in block
    )
    named = re.search(r"^\$ func-e run -c (\S+)", block, re.MULTILINE)[1]
    assert ROOT / named in BOOTSTRAPS
    asked = [command.partition("#")[0].strip() for command in curls(block)]
    assert asked and set(asked) <= set(curls(head(ROOT / named)))
