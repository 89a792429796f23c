"""Sends many requests with oha, of one or several kinds at once."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from .envoy import TOOLS

OHA = TOOLS / "bin" / "oha"


@dataclasses.dataclass(frozen=True)
class Load:
    """Requests of one kind. They differ only in their paths, if there are several."""

    requests: int
    connections: int
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    paths: tuple[str, ...] = ("/",)
    keep_alive: bool = True

    def command(self, port: int, paths: Path) -> list[str]:
        """The command that sends the requests. oha chooses a random path from the file for each request."""
        paths.write_text("".join(f"http://127.0.0.1:{port}{path}\n" for path in self.paths))
        counts = ["-n", str(self.requests), "-c", str(self.connections), "-m", self.method]
        headers = [part for name, value in self.headers for part in ("-H", f"{name}: {value}")]
        alive = [] if self.keep_alive else ["--disable-keepalive"]
        quiet = ["--no-tui", "--no-color", "--output-format", "json"]
        return [str(OHA), *counts, *headers, *alive, *quiet, "--urls-from-file", str(paths)]


def send(loads: Iterable[Load], port: int, folder: Path) -> list[dict[str, int]]:
    """Sends all loads at the same time. Returns for each the numbers of responses by status, and of errors by kind."""
    running = [
        subprocess.Popen(load.command(port, folder / f"paths-{i}"), stdout=subprocess.PIPE, text=True)
        for i, load in enumerate(loads)
    ]
    try:
        said = [process.communicate()[0] for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    for process in running:
        if process.returncode:
            raise RuntimeError(f"oha ended with {process.returncode}")
    found = [json.loads(text) for text in said]
    return [each["statusCodeDistribution"] | each["errorDistribution"] for each in found]
