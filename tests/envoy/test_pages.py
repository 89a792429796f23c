"""The README's example does what its table says, and links between pages lead somewhere."""

from __future__ import annotations

import asyncio
import copy
import re
import time
from pathlib import Path

import pytest
import yaml

from harness import bootstrap as make
from harness.client import Connection, Response
from harness.envoy import ROOT, Envoy
from harness.upstream import Upstream

README = (ROOT / "README.md").read_text()
HOST = "shop.example.com"
LABELS = {"v1": "1.0", "v2": "2.0"}
NEW_CLIENTS = 64
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "wasmplugin" / "README.md",
    ROOT / "tests" / "cases" / "README.md",
]


def blocks(page: str) -> list:
    """The documents of a page's YAML blocks."""
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]


async def ask(port: int, *headers: tuple[str, str]) -> Response:
    connection = Connection(port)
    try:
        return await connection.request(host=HOST, headers=headers)
    finally:
        await connection.close()


def went(response: Response) -> str:
    """The version that served, as upstream, request header and response agree on."""
    echo = response.echo()
    assert echo.all("x-app-version") == [echo.version]
    assert response.get("x-app-version") == LABELS[echo.version]
    return echo.version


def test_the_example_of_the_readme_does_what_its_table_says(binary, start):
    config = next(block for block in blocks(README) if "apps" in block)
    routes = next(block for block in blocks(README) if isinstance(block, list))
    later = copy.deepcopy(config)
    later["apps"][0]["versions"][1]["weight"] = 60
    example = re.search(r"`set-cookie: (pinion-shop=v1~\d+~0~48280; [^`]*)`", README)[1]
    slot = 48280

    clusters = [make.cluster(name, start(Upstream(name)).port) for name in LABELS]
    listeners = [make.listener("now", [make.pinion(config)], routes), make.listener("later", [make.pinion(later)], routes)]
    envoy = start(Envoy(make.bootstrap(listeners, clusters), binary=binary))
    ports = envoy.ports()
    cookie = ("cookie", f"pinion-shop=v1~{int(time.time())}~0~{slot}")

    async def run() -> None:
        for forged in ([], [("x-app-version", "v2")]):
            new = [await ask(ports["now"], *forged) for _ in range(NEW_CLIENTS)]
            versions = [went(response) for response in new]
            assert "v1" in versions
            for version, response in zip(versions, new, strict=True):
                attributes = re.escape(example.partition(";")[2])
                assert re.fullmatch(rf"pinion-shop={version}~\d+~0~\d+;{attributes}", response.get("set-cookie"))
        for _ in range(10):
            back = await ask(ports["now"], cookie)
            assert went(back) == "v1" and back.get("set-cookie") is None
        tester = await ask(ports["now"], ("end-user", "tester"))
        assert went(tester) == "v2" and tester.get("set-cookie") is None
        moved = await ask(ports["later"], cookie)
        assert went(moved) == "v2"
        pin = moved.get("set-cookie").partition(";")[0]
        assert re.fullmatch(rf"pinion-shop=v2~\d+~0~{slot}", pin)
        again = await ask(ports["later"], ("cookie", pin))
        assert went(again) == "v2" and again.get("set-cookie") is None

    asyncio.run(run())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert not dead
