"""Browsers, the app's two versions, and the table that stands at the end."""

import contextlib
import itertools
from pathlib import Path

import pytest
from harness.envoy import ROOT

from . import certificates, driver
from .app import AppProcess
from .client import Client
from .journeys import Measured, journey
from .next_app import NextProcess
from .stage import VERSIONS, Stage
from .table import TABLE

BROWSERS = {"Chromium": driver.Chromium, "Firefox": driver.Firefox}
REPORT = ROOT / ".run" / "browser.md"


@pytest.fixture(scope="session")
def issued(tmp_path_factory) -> tuple[Path, Path, Path]:
    """A certificate authority, and a certificate with its key."""
    names = [host for name in driver.NAMES for host in (name, f"*.{name}")]
    return certificates.issue(tmp_path_factory.mktemp("certificates"), names)


@pytest.fixture(scope="session")
def browser(issued):
    """Gives each browser by its name; a browser starts when it is asked for first."""
    with contextlib.ExitStack() as stack:
        running: dict[str, driver.Browser] = {}

        def given(name: str) -> driver.Browser:
            if name not in running:
                running[name] = stack.enter_context(BROWSERS[name](issued[0]))
                TABLE.browsers[name] = running[name].version
            return running[name]

        yield given


@pytest.fixture(scope="session")
def app():
    """The app's two versions."""
    with contextlib.ExitStack() as stack:
        yield {version: stack.enter_context(AppProcess(version)) for version in VERSIONS}


@pytest.fixture(scope="session")
def builds():
    """The two builds of the Next.js app."""
    with contextlib.ExitStack() as stack:
        yield {version: stack.enter_context(NextProcess(version)) for version in VERSIONS}


@pytest.fixture(scope="module")
def module_stage(app, issued, tmp_path_factory):
    """Starts stages with a configuration; they end with the module."""
    with contextlib.ExitStack() as stack:

        def start(config, upstreams=None, **how) -> Stage:
            folder = tmp_path_factory.mktemp("stage")
            return stack.enter_context(Stage(config, upstreams or app, issued[1:], folder, **how))

        yield start


@pytest.fixture
def stage(request, app, issued, tmp_path):
    """Starts a stage with a configuration; it ends with the test. If the test fails, Envoy's log is shown."""
    with contextlib.ExitStack() as stack:
        request.node.stages = []

        def start(config, upstreams=None, **how) -> Stage:
            folder = tmp_path / str(len(request.node.stages))
            folder.mkdir()
            started = stack.enter_context(Stage(config, upstreams or app, issued[1:], folder, **how))
            request.node.stages.append(started)
            return started

        yield start


NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def shared(browser):
    """Gives the profile of a browser that most clients share. Each has its own host, so cookies stay apart."""
    with contextlib.ExitStack() as stack:
        made: dict[str, driver.Profile] = {}

        def given(name: str) -> driver.Profile:
            if name not in made:
                made[name] = stack.enter_context(browser(name).profile())
            return made[name]

        yield given


@pytest.fixture
def clients(browser, shared):
    """Makes clients of a browser, for pages with one kind of caching headers. They end with the test.

    A client that is `alone` has a profile of its own. It must, if a cookie has a Domain.
    """
    with contextlib.ExitStack() as stack:

        def make(stage: Stage, kind: str = "never", name: str = "Chromium", *, alone: bool = False, **where) -> Client:
            profile = stack.enter_context(browser(name).profile()) if alone else shared(name)
            return stack.enter_context(Client(stage, profile, f"{kind}-{next(NUMBERS)}", **where))

        yield make


CLIENTS = 3
"""How many clients come for each kind of page. A page has fifteen parts: without a pin none is whole by chance."""


@pytest.fixture(scope="module")
def measure(module_stage, shared):
    """Has clients come and return around a swap, and returns what they met, by the kind of pages.

    Each swap is measured once for each kind of client, and added to the table.
    """
    known: dict[tuple[str, str], dict[str, Measured]] = {}

    def measured(
        kinds: list[str], config: dict, swap: str, swapped: dict, name: str, note: str = ""
    ) -> dict[str, Measured]:
        client = name + note
        if (client, swap) not in known:
            stage = module_stage(config)
            with contextlib.ExitStack() as stack:

                def come(kind: str) -> Client:
                    return stack.enter_context(Client(stage, shared(name), f"{kind}-{next(NUMBERS)}"))

                groups = {kind: [come(kind) for _ in range(CLIENTS)] for kind in kinds}
                known[client, swap] = journey(groups, lambda: stage.update(swapped))
            for kind, met in known[client, swap].items():
                met.note(kind, client, swap)
        return known[client, swap]

    return measured


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for stage in getattr(item, "stages", []):
            report.sections.append(("Envoy's log", stage.envoy.log()[-5000:]))
    return report


def pytest_terminal_summary(terminalreporter):
    if not TABLE.rows:
        return
    lines = TABLE.lines()
    terminalreporter.section("what browsers met")
    for line in lines:
        terminalreporter.write_line(line)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n".join([*lines, ""]))
