"""The Next.js app of `next/` in one of its two builds, as `next start` serves it."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.request

from harness.envoy import TOOLS, end, free_port

from .client import Client
from .loads import Load

APP = TOOLS / "next"
START_SECONDS = 60


class NextProcess:
    """A server of one build, ended with the block. It keeps no record of requests."""

    def __init__(self, version: str):
        self.version = version

    def __enter__(self) -> NextProcess:
        self.port = free_port()
        deployment = f"dpl_{self.version}"
        environment = {**os.environ, "DEPLOYMENT": deployment, "NEXT_TELEMETRY_DISABLED": "1"}
        program = APP / "node_modules" / "next" / "dist" / "bin" / "next"
        command = ["node", str(program), "start", "--hostname", "127.0.0.1", "--port", str(self.port)]
        log = APP / f"{deployment}.start.log"
        with log.open("w") as out:
            self.process = subprocess.Popen(command, cwd=APP, env=environment, stdout=out, stderr=out)
        until = time.monotonic() + START_SECONDS
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                raise RuntimeError(f"Next.js did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)
        return self

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as response:
                return response.status == 200
        except OSError:
            return False

    def seen(self, host: str) -> list[dict]:
        return []

    def __exit__(self, *_) -> None:
        end(self.process)


class User:
    """A user of the app, who clicks."""

    def __init__(self, client: Client):
        self.client = client
        self.tab = client.tab

    def come(self, path: str) -> Load:
        """Types the address of a page, and waits until React has taken it over."""
        self.tab.open(self.client.url(path))
        # React leaves a property on each element that it has taken over.
        self.tab.until("Object.keys(document.querySelector('a')).some((name) => name.startsWith('__react'))")
        self.tab.value("window.stayed = true")
        return self._load()

    def click(self, what: str, shows: str) -> Load:
        """Clicks on an element, and waits until another one shows text."""
        self.tab.value(f"document.querySelector('#{what}').click()")
        self.tab.until(f"document.querySelector('#{shows}')?.textContent")
        return self._load()

    def text(self, element: str) -> str:
        return self.tab.value(f"document.querySelector('#{element}').textContent")

    @property
    def stayed(self) -> bool:
        """Whether the page was never loaded anew since the user came."""
        return self.tab.value("window.stayed === true")

    def _load(self) -> Load:
        self.client.stage.settle()
        page = self.text("server")
        return Load(page.removeprefix("dpl_"), self.client.since())
