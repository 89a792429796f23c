"""Drives a real browser by WebDriver BiDi, the W3C's protocol that Chromium's driver and Firefox both speak.

Chromium speaks it through `chromedriver`, Firefox by itself. A browser runs headless with an empty profile, whose
store of certificates holds the test's CA, so that the browser trusts the listener: a page with an error that is
ignored would run no service worker.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from harness.envoy import end
from websockets.sync.client import connect

from .certificates import trusted_in

SECONDS = 30
"""After this time a command is lost."""
START_SECONDS = 60
"""How long a browser may take to start on a busy machine."""

NAMES = "shop.test", "cart.test", "pay.test", "bare.test"
"""Sites that lie on this machine, with all hosts below them."""
BARE = "bare.test"
"""Of these, the site for which Chromium takes and sends no cookies."""


class BrowserFailed(Exception):
    """The browser did not do what it must."""


class Session:
    """One connection, with commands and their results."""

    def __init__(self, url: str):
        self._closing = contextlib.ExitStack()
        socket = connect(url, max_size=None, compression=None, ping_interval=None)
        self._socket = self._closing.enter_context(socket)
        self._ids = itertools.count(1)
        self._results: dict[int, dict] = {}

    def send(self, method: str, **params: Any) -> int:
        """The number of a command, whose result is asked for later."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        return number

    def result(self, number: int, seconds: float = SECONDS) -> dict:
        """The result of a command that was sent before."""
        until = time.monotonic() + seconds
        while number not in self._results:
            said = json.loads(self._socket.recv(timeout=max(0.0, until - time.monotonic())))
            if said.get("id") is not None:
                self._results[said["id"]] = said
        said = self._results.pop(number)
        if said["type"] == "error":
            raise BrowserFailed(f"{said['error']}: {said['message']}")
        return said["result"]

    def do(self, method: str, **params: Any) -> dict:
        """The result of a command."""
        return self.result(self.send(method, **params))

    def close(self) -> None:
        self._closing.close()


class Browser:
    """A browser, ended with the block. Each `Profile` in it has cookies, caches and workers of its own."""

    name: str

    def __init__(self, authority: Path):
        self.authority = authority
        self.home = Path(tempfile.mkdtemp(prefix="pinion-browser-"))
        self.log = self.home / "log"
        self.process: subprocess.Popen | None = None
        self.session: Session | None = None
        self.version = ""

    def _run(self, command: list[str], announced: str) -> str:
        """Starts a process; returns what it announces about where it listens."""
        environment = {**os.environ, "HOME": str(self.home), "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            if found := re.search(announced, self.log.read_text(errors="replace")):
                return found[1]
            time.sleep(0.02)
        raise BrowserFailed(f"{command[0]} did not start:\n{self.log.read_text(errors='replace')[-5000:]}")

    def _start(self) -> dict:
        """Starts it; returns the capabilities of the session."""
        raise NotImplementedError

    def __enter__(self) -> Browser:
        try:
            self.version = self._start()["browserVersion"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        if self.session is not None:
            try:
                self.session.do("session.end")
            except Exception:  # noqa: BLE001 - the process is ended anyway
                pass
            self.session.close()
        end(self.process)
        shutil.rmtree(self.home, ignore_errors=True)

    def profile(self) -> Profile:
        """A new client: without cookies, caches and workers."""
        return Profile(self.session, self.session.do("browser.createUserContext")["userContext"])


class Chromium(Browser):
    name = "Chromium"

    def _start(self) -> dict:
        trusted_in(self.home / ".pki" / "nssdb", self.authority)
        port = self._run(["chromedriver", "--port=0"], r"started successfully on port (\d+)")
        rules = ",".join(f"MAP {host} 127.0.0.1" for name in NAMES for host in (name, f"*.{name}"))
        arguments = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={self.home / 'profile'}", f"--host-resolver-rules={rules},MAP * ~NOTFOUND",
        ]  # fmt: skip
        blocked = {f"[*.]{BARE},*": {"setting": 2}}
        preferences = {"profile": {"content_settings": {"exceptions": {"cookies": blocked}}}}
        options = {"binary": shutil.which("chromium"), "args": arguments, "prefs": preferences}
        wanted = {"alwaysMatch": {"webSocketUrl": True, "goog:chromeOptions": options}}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/session",
            json.dumps({"capabilities": wanted}).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=START_SECONDS) as response:
                capabilities = json.load(response)["value"]["capabilities"]
        except urllib.error.HTTPError as error:
            raise BrowserFailed(f"Chromium did not start: {error.read().decode()[:2000]}") from error
        self.session = Session(capabilities["webSocketUrl"])
        return capabilities


class Firefox(Browser):
    name = "Firefox"

    def _start(self) -> dict:
        profile = self.home / "profile"
        trusted_in(profile, self.authority)
        preferences = {
            "network.dns.forceResolve": "127.0.0.1",
            "network.captive-portal-service.enabled": False,
            "network.connectivity-service.enabled": False,
            "datareporting.policy.dataSubmissionEnabled": False,
            "toolkit.telemetry.enabled": False,
            "app.update.enabled": False,
            "extensions.update.enabled": False,
            "services.settings.server": "data:,",
            "browser.safebrowsing.malware.enabled": False,
            "browser.safebrowsing.phishing.enabled": False,
            "browser.shell.checkDefaultBrowser": False,
            "browser.startup.page": 0,
        }
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
        (profile / "user.js").write_text("\n".join(lines))
        command = ["firefox-esr", "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port=0"]
        url = self._run(command, r"WebDriver BiDi listening on (ws://\S+)")
        self.session = Session(f"{url}/session")
        return self.session.do("session.new", capabilities={})["capabilities"]


class Profile:
    """A client of a browser, with cookies, caches and workers of its own; ended with the block."""

    def __init__(self, session: Session, context: str):
        self._session = session
        self._context = context

    def tab(self) -> Tab:
        """A new tab, empty."""
        made = self._session.do("browsingContext.create", type="tab", userContext=self._context, background=True)
        return Tab(self._session, made["context"])

    def cookies(self) -> list[dict]:
        """All cookies of the client, as the protocol shows them."""
        partition = {"type": "storageKey", "userContext": self._context}
        return self._session.do("storage.getCookies", partition=partition)["cookies"]

    def close(self) -> None:
        self._session.do("browser.removeUserContext", userContext=self._context)

    def __enter__(self) -> Profile:
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Tab:
    """A tab of a client."""

    def __init__(self, session: Session, context: str):
        self._session = session
        self._context = context

    def going(self, url: str) -> int:
        """The command that leads to a page, sent; `arrived` waits for its end."""
        return self._session.send("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def arrived(self, command: int) -> None:
        self._session.result(command)

    def open(self, url: str) -> None:
        """Goes to a page, as one who types the address, and waits until it is loaded."""
        self.arrived(self.going(url))

    def reload(self) -> None:
        """Loads the page again, as by the button."""
        self._session.do("browsingContext.reload", context=self._context, wait="complete")

    def asking(self, script: str) -> int:
        """The command that evaluates a script, sent; `told` waits for its value."""
        target = {"context": self._context}
        # The value goes through JSON, as the protocol has a notation of its own for values.
        expression = f"(async () => JSON.stringify(await (async () => ({script}))()))()"
        return self._session.send("script.evaluate", expression=expression, target=target, awaitPromise=True)

    def told(self, command: int) -> Any:
        said = self._session.result(command)
        if said["type"] == "exception":
            raise BrowserFailed(said["exceptionDetails"]["text"])
        return json.loads(said["result"].get("value", "null"))

    def value(self, script: str) -> Any:
        """The value of an expression, or of what it promises, in the page."""
        return self.told(self.asking(script))

    def until(self, script: str) -> Any:
        """The value of an expression in the page, asked until there is one, over navigations too."""
        until = time.monotonic() + SECONDS
        while True:
            try:
                if found := self.value(script):
                    return found
            except BrowserFailed:
                # A navigation takes the page away while it is asked.
                pass
            if time.monotonic() > until:
                raise BrowserFailed(f"it did not come: {script}")
            time.sleep(0.05)

    def frames(self) -> list[Tab]:
        """The frames of the page, as tabs."""
        tree = self._session.do("browsingContext.getTree", root=self._context)["contexts"][0]
        return [Tab(self._session, child["context"]) for child in tree["children"]]

    def close(self) -> None:
        self._session.do("browsingContext.close", context=self._context)
