"""The real istiod, which reads a folder in place of Kubernetes."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import yaml

from harness.envoy import ROOT, TOOLS, EnvoyFailed, end, free_port

WAIT_SECONDS = 90
"""The most time that istiod and a proxy take to apply a change, on a busy machine."""

VALUES = yaml.safe_load((ROOT / "wasmplugin" / "mesh.values.yaml").read_text())["meshConfig"]


@functools.cache
def release() -> str:
    """The version of Istio."""
    said = subprocess.run(
        [TOOLS / "bin" / "istioctl", "version", "--remote=false", "--output", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(said.stdout)["clientVersion"]["version"]


class Istiod:
    """pilot-discovery with a folder in place of Kubernetes. It ends with the block.

    The folder is empty at the start, because pilot-discovery may miss services that exist before it watches the folder.
    """

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="pinion-istiod-"))
        self.port, self.monitoring = free_port(), free_port()
        self.config = self.home / "config"
        self.config.mkdir()
        self.log_file = self.home / "istiod.log"
        self.final_log = ""
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Istiod:
        # Istio's defaults for logs and metrics need filters that only Istio's build of Envoy has.
        mesh = {**VALUES, "enableAutoMtls": False, "defaultProviders": {}}
        (self.home / "mesh.yaml").write_text(yaml.safe_dump(mesh))
        addresses = {"grpc": self.port, "http": free_port(), "monitoring": self.monitoring}
        command = [
            TOOLS / "bin" / "pilot-discovery", "discovery", "--registries=", f"--configDir={self.config}",
            f"--meshConfig={self.home / 'mesh.yaml'}", "--httpsAddr=", "--secureGRPCAddr=",
            f"--ctrlz_port={free_port()}",
            *(f"--{name}Addr=127.0.0.1:{port}" for name, port in addresses.items()),
        ]  # fmt: skip
        environment = {
            **os.environ,
            "PILOT_ENABLE_METADATA_EXCHANGE": "false",
            "PILOT_ENABLE_ALPN_FILTER": "false",
            "ENABLE_CA_SERVER": "false",
        }
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.home, env=environment)
        try:
            # istiod listens once its caches are filled. /ready waits for webhooks, which only Kubernetes calls.
            wait_until(lambda: listens(self.port), lambda: f"istiod is not there:\n{self.log()}", alive=self.process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def apply(self, documents: Iterable[dict]) -> None:
        """Replaces the whole configuration, by moving a file into the watched folder."""
        fresh = self.home / "all.new"
        fresh.write_text(yaml.safe_dump_all(documents))
        fresh.rename(self.config / "all.yaml")

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitoring}/metrics", timeout=10) as response:
            return response.read().decode()

    def log(self) -> str:
        said = self.log_file.read_text(errors="replace") if self.log_file.exists() else self.final_log
        # Without the settings, which istiod logs first.
        return said[max(0, said.find("initializing mesh networks")) :]

    def __exit__(self, *_) -> None:
        end(self.process)
        self.final_log = self.log()
        shutil.rmtree(self.home, ignore_errors=True)


async def until(done: Callable[[], Awaitable[object]], otherwise: Callable[[], str]) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + WAIT_SECONDS
    while not await done():
        if time.monotonic() > end:
            raise EnvoyFailed(otherwise())
        await asyncio.sleep(0.05)


def wait_until(
    done: Callable[[], object], otherwise: Callable[[], str], *, alive: subprocess.Popen | None = None
) -> None:
    """Waits until a condition holds. The time that it takes is not checked."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end and (alive is None or alive.poll() is None):
        try:
            if done():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise EnvoyFailed(otherwise())


def listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
