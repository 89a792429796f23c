"""The clients, which tests drive."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from .driver import SECONDS, Profile, Tab
from .loads import Load, Request
from .stage import Stage


class Client:
    """A user of a browser, ended with the block. Each client has a host of its own: the access log tells it by that."""

    def __init__(self, stage: Stage, profile: Profile, name: str, site: str = "shop.test"):
        self.stage = stage
        self.profile = profile
        self.host = f"{name}.{site}:{stage.port}"
        self.tab = profile.tab()
        self._tabs = [self.tab]
        self._before = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        for tab in self._tabs:
            tab.close()

    def another_tab(self) -> Tab:
        """A second tab of the same user."""
        self._tabs.append(self.profile.tab())
        return self._tabs[-1]

    def url(self, path: str = "/") -> str:
        return f"https://{self.host}{path}"

    def since(self) -> list[Request]:
        """The requests in the access log that came after the last call."""
        requests = self.stage.requests(self.host)
        fresh, self._before = requests[self._before :], len(requests)
        return fresh

    def go(self, script: str, path: str) -> Load:
        """Runs a script that navigates to a path, and waits for all parts of the new page."""
        self.tab.value(script)
        self.tab.until(f"document.querySelector('h1')?.textContent === {json.dumps(path)}")
        self.tab.value("parts")
        self.stage.settle()
        return self.load()

    def load(self) -> Load:
        """What was requested since the last load, with the version of the page that the tab shows."""
        return Load(self.tab.value("version"), self.since())

    def open(self, path: str = "/") -> Load:
        """Types the address of a page, and waits for all its parts."""
        self.tab.open(self.url(path))
        self.tab.value("parts")
        self.stage.settle()
        return self.load()

    def more(self, name: str, *kinds: str) -> Load:
        """Loads further parts of the open page: of these kinds, or of all."""
        wanted = json.dumps(kinds) if kinds else "undefined"
        self.tab.value(f"more({json.dumps(name)}, {wanted})")
        self.stage.settle()
        return self.load()

    def until(self, found: Callable[[Load], Any]) -> Load:
        """What was requested since the last load, once `found` is true of that."""
        until, before = time.monotonic() + SECONDS, self._before
        while True:
            self.stage.settle()
            self._before = before
            load = self.load()
            if found(load):
                return load
            assert time.monotonic() < until, f"the request did not come: {load}"

    def pins(self, name: str = "pinion-shop") -> list[dict]:
        """The cookies of that name that the browser keeps for this host."""
        host = self.host.partition(":")[0]
        kept = [cookie for cookie in self.profile.cookies() if cookie["name"] == name]
        return [cookie for cookie in kept if f".{host}".endswith(f".{cookie['domain'].lstrip('.')}")]

    def pin(self) -> str | None:
        """The pin that the browser keeps, if there is one."""
        kept = self.pins()
        assert len(kept) <= 1, kept
        return kept[0]["value"]["value"] if kept else None
