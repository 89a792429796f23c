"""Skew protection: a page that is open during a swap gets its later bundles and API calls from its own version.

The bundles of the app have hashes in their names and exist in one version only. The app needs `draining`, so that the old
version still serves, and `dpl`, so that a page's requests carry the page's pin and not the client's. The tests also count
what an app loses with only one of the two.
"""

import asyncio
import dataclasses
import hashlib
import json
import re
import time

import yaml

from harness import bootstrap as make
from harness.client import Browser, Response, gather
from harness.envoy import Envoy

USERS = 16
"""Users of each app. Every second user opens another tab after the swap."""
TTL = 2
"""The TTL of a pin in seconds. Pages stay open for longer."""
LAZY = ["chart", "editor", "map"]
"""Bundles that a page loads later."""


def bundle(version: str, name: str) -> str:
    return f"/assets/{name}.{hashlib.sha256(f'{version} {name}'.encode()).hexdigest()[:8]}.js"


def pin_of(head: str) -> str:
    """The pin that a page's server reads from the request: from the header if it is new, else from the cookie."""
    found = re.search(r"(?im)^x-version-pin: (\S+)", head) or re.search(r"(?im)^cookie:.*\bpinion-[-\w]+=([^;\s]+)", head)
    return found[1] if found else ""


async def web_app(version: str) -> asyncio.Server:
    """A version of the app: a page, its bundles, which exist in no other version, and an API."""
    files = {bundle(version, name): f"// {name} of {version}" for name in ["app", *LAZY]}
    scripts = "".join(f'<script data-when="{path}" src="{path}"></script>' for path in files)
    files |= {"/": f"<!doctype html><title>{version}</title>{scripts}", "/api/cart": json.dumps({"version": version})}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            path = head.split(b" ")[1].decode().partition("?")[0]
            status, body = ("200 OK", files[path]) if path in files else ("404 Not Found", "no such file")
            if path == "/":
                body += f'<meta name="dpl" content="{pin_of(head.decode())}">'
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@dataclasses.dataclass
class Page:
    """An open tab: the version and the bundles of its markup, and its pin."""

    version: str
    scripts: list[str]
    pin: str


class User:
    """A browser with tabs. If the app is built with `dpl`, its pages append it to all that they load."""

    def __init__(self, port: int, host: str, *, dpl: bool):
        self.browser, self.host, self.dpl = Browser(port), host, dpl
        self.missed: list[str] = []

    @property
    def cookie(self) -> str:
        return self.browser.cookies[f"pinion-{self.host}"]

    async def navigate(self) -> Page:
        response = await self.browser.request("/", host=self.host, headers=[("sec-fetch-mode", "navigate")])
        assert response.status == 200
        # A new pin is also in the header, so that a page can read it although the cookie is HttpOnly.
        assert response.get("x-version-pin") in (None, self.cookie)
        markup = response.body.decode()
        pin = re.search('content="([^"]*)"', markup)[1]
        assert pin == self.cookie or not self.dpl, "the page's pin is the client's"
        page = Page(re.search("<title>(.*)</title>", markup)[1], re.findall('src="([^"]*)"', markup), pin)
        await self.load(page, page.scripts[0])
        return page

    async def load(self, page: Page, path: str, mode: str = "no-cors") -> Response:
        target = f"{path}?dpl={page.pin}" if self.dpl else path
        before = dict(self.browser.cookies)
        response = await self.browser.request(target, host=self.host, headers=[("sec-fetch-mode", mode)])
        if self.dpl and response.status == 200:
            unchanged = response.all("set-cookie") == [] and self.browser.cookies == before
            assert unchanged, "a subresource does not change the client's pin"
        if response.status != 200:
            self.missed.append(path)
        return response

    async def go_on(self, page: Page) -> None:
        """Loads the later bundles and calls the API of an open page, until one is missing."""
        for path in page.scripts[1:]:
            await self.load(page, path)
        said = json.loads((await self.load(page, "/api/cart", "cors")).body)
        if said["version"] != page.version:
            self.missed.append("/api/cart")


VARIANTS = {"both": (True, True), "draining-only": (True, False), "dpl-only": (False, True), "neither": (False, False)}
"""By app: whether the old version is draining (or has a share of 0), and whether pages send their pin."""


def config(swapped: bool) -> dict:
    apps = []
    for host, (draining, dpl) in VARIANTS.items():
        old = {"name": "v1", "state": "draining"} if draining else {"name": "v1", "weight": 0}
        new = {"name": "v2", "weight": 100}
        versions = [old, new] if swapped else [{"name": "v1"}, {"name": "v2", "weight": 0}]
        pin = {"cookie": {"ttl": f"{TTL}s"}, "header": "x-version-pin"} | ({"query": "dpl"} if dpl else {})
        stable = "v2" if swapped else "v1"
        apps.append({"name": host, "hosts": [host], "versions": versions, "stable": stable, "pin": pin})
    # The label shows when a configuration is active.
    apps.append({"name": "probe", "hosts": ["probe"], "versions": [{"name": "v1", "label": str(swapped)}]})
    return {"apps": apps}


def edge(binary, filters: list[dict], ports: dict[str, int]) -> Envoy:
    routes = [*(make.to(name, x_app_version=name) for name in ports), make.to("v1")]
    clusters = [make.cluster(name, port) for name, port in ports.items()]
    return Envoy(make.bootstrap([make.listener("edge", filters, routes)], clusters), binary=binary)


def test_open_pages_miss_nothing_over_a_swap(binary, start, tmp_path):
    path = tmp_path / "pinion.yaml"
    path.write_text(yaml.safe_dump(make.resource(config(swapped=False))))

    async def run() -> None:
        servers = {version: await web_app(version) for version in ("v1", "v2")}
        ports = {version: server.sockets[0].getsockname()[1] for version, server in servers.items()}
        envoy = await asyncio.to_thread(start, edge(binary, [make.discovered(path)], ports))
        port = envoy.port()
        users = {host: [User(port, host, dpl=dpl) for _ in range(USERS)] for host, (_, dpl) in VARIANTS.items()}
        everybody = [user for each in users.values() for user in each]
        pages = dict(zip(everybody, await gather(user.navigate() for user in everybody)))
        assert {page.version for page in pages.values()} == {"v1"}
        opened = time.monotonic()
        envoy.update(make.resource(config(swapped=True)))
        probe = Browser(port)
        while (await probe.request("/", host="probe")).get("x-app-version") != "True":
            assert time.monotonic() < opened + 30, "the swap did not become active"
            await asyncio.sleep(0.02)
        # All pins expire while the pages stay open. A user that opens the app again gets the new version and a new pin.
        await asyncio.sleep(max(0.0, opened + TTL + 1 - time.monotonic()))
        wanderers = [user for user in everybody if users[user.host].index(user) % 2]
        tabs = dict(zip(wanderers, await gather(user.navigate() for user in wanderers)))
        assert all(tab.version == "v2" and user.cookie.startswith("v2~") for user, tab in tabs.items())
        await gather(user.go_on(pages[user]) for user in everybody)
        missed = {host: sum(len(user.missed) for user in each) for host, each in users.items()}
        each = len(LAZY) + 1
        # Without `dpl` the new tab's cookie moves the old page too. Without `draining` the old version serves no client.
        assert missed == {
            "both": 0,
            "draining-only": USERS // 2 * each,
            "dpl-only": USERS * each,
            "neither": USERS * each,
        }
        # The new tabs are on the new version.
        for user in wanderers:
            user.missed.clear()
        await gather(user.go_on(tabs[user]) for user in wanderers)
        assert not [user.host for user in wanderers if user.missed]
        for browser in [probe, *(user.browser for user in everybody)]:
            await browser.close()
        for server in servers.values():
            server.close()

    asyncio.run(run())


HALVES = {"versions": [{"name": "v1"}, {"name": "v2", "weight": 50}], "stable": "v1"}


def test_an_expired_pin_counts_for_subresources_but_not_for_navigations(binary, start):
    pin = {"cookie": {"ttl": "1s"}, "query": "dpl"}
    given = {"apps": [{"name": "shop", **HALVES, "pin": pin}]}

    async def run() -> None:
        servers = {version: await web_app(version) for version in ("v1", "v2")}
        ports = {version: server.sockets[0].getsockname()[1] for version, server in servers.items()}
        envoy = await asyncio.to_thread(start, edge(binary, [make.pinion(given)], ports))
        users = [User(envoy.port(), "shop", dpl=False) for _ in range(20)]
        pages = await gather(user.navigate() for user in users)
        before = [user.cookie for user in users]
        # Times are whole seconds, so all pins have expired after two.
        await asyncio.sleep(2)
        for mode in ("no-cors", "cors", "same-origin", "websocket"):
            responses = await gather(
                user.load(page, page.scripts[1], mode) for user, page in zip(users, pages)
            )
            assert {(response.status, *response.all("set-cookie")) for response in responses} == {(200,)}, mode
        assert [user.cookie for user in users] == before
        again = await gather(user.navigate() for user in users)
        slots = [(old.split("~")[3], user.cookie.split("~")[3]) for old, user in zip(before, users)]
        assert all(user.cookie.startswith(f"{page.version}~") for user, page in zip(users, again))
        assert all(old != user.cookie for old, user in zip(before, users))
        assert len([1 for old, new in slots if old != new]) > len(users) / 2, "the clients draw again"
        rejected = {name: count for name, count in envoy.metrics().items() if "rejected" in name}
        assert rejected == {'pinion_pins_rejected_total{pin_app="shop",pin_cause="expired"}': len(users)}
        for user in users:
            await user.browser.close()
        for server in servers.values():
            server.close()

    asyncio.run(run())


def test_the_pin_of_a_page_never_changes_its_clients_cookie(binary, start):
    given = {"apps": [{"name": "shop", **HALVES, "pin": {"query": "dpl", "header": "x-version-pin"}}]}

    async def run() -> None:
        servers = {version: await web_app(version) for version in ("v1", "v2")}
        ports = {version: server.sockets[0].getsockname()[1] for version, server in servers.items()}
        envoy = await asyncio.to_thread(start, edge(binary, [make.pinion(given)], ports))
        now = int(time.time())
        young = {"v1": f"v1~{now}~0~99999", "v2": f"v2~{now}~0~0"}
        # An old pin, whose slot now belongs to another version.
        old = {"v1": f"v1~{now - 90_000}~0~0", "v2": f"v2~{now - 90_000}~0~99999"}
        half_over = {"v1": f"v1~{now - 50_000}~0~99999", "v2": f"v2~{now - 50_000}~0~0"}
        for page_pins in (young, old, half_over):
            for version, pin in page_pins.items():
                for cookies in ({}, {"pinion-shop": young["v1"]}, {"pinion-shop": young["v2"]}):
                    for carried in ("query", "header"):
                        browser = Browser(envoy.port())
                        browser.cookies.update(cookies)
                        target = "/api/cart" + (f"?dpl={pin.replace('~', '%7E')}" if carried == "query" else "")
                        headers = [("sec-fetch-mode", "cors")]
                        headers += [("x-version-pin", pin)] if carried == "header" else []
                        response = await browser.request(target, host="shop", headers=headers)
                        told = (json.loads(response.body)["version"], response.all("set-cookie"), browser.cookies)
                        assert told == (version, [], cookies), (pin, carried)
                        assert response.get("x-version-pin") is None
                        await browser.close()
        for server in servers.values():
            server.close()

    asyncio.run(run())
