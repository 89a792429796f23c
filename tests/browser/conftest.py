"""Browsers, the app's two versions, and the table that stands at the end."""

import contextlib
import itertools
from pathlib import Path

import pytest

from harness.envoy import ROOT

from . import certificates, driver
from .app import AppProcess
from .stage import VERSIONS, Client, Stage
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


@pytest.fixture(scope="module")
def clients(browser):
    """Makes clients, which end with the module: of a browser, for pages with this kind of caching headers."""
    with contextlib.ExitStack() as stack:

        def make(stage: Stage, kind: str = "never", name: str = "Chromium") -> Client:
            profile = stack.enter_context(browser(name).profile())
            return Client(stage, profile, f"{kind}-{next(NUMBERS)}")

        yield make


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
