"""Fixtures that run `wasmplugin/` under the real istiod, on the Envoy release of this Istio and on the newest one."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from harness import envoy  # noqa: E402
from istiod import release  # noqa: E402
from mesh import Mesh  # noqa: E402

RELEASES = ["1.37.0", envoy.NEWEST]

ROWS: list[dict] = []
"""The rows of the table that is printed at the end."""


@pytest.fixture(scope="session", params=RELEASES)
def binary(request) -> Path:
    """An Envoy binary. Each test that uses it runs on both releases."""
    return envoy.installed(request.param)


@pytest.fixture
def mesh(request, binary):
    """Runs an overlay until the test ends. If the test fails, all logs are shown."""
    running: list[Mesh] = []
    request.node.running = running

    def start(name: str, **how) -> Mesh:
        running.append(Mesh(name, binary, **how))
        return running[-1].__enter__()

    yield start
    for each in reversed(running):
        each.__exit__()


@pytest.fixture
def row(request, binary):
    """Adds the result of a walkthrough to the table if the test passes."""
    noted = {"envoy": envoy.release(binary)}
    request.node.noted = noted
    return noted.update


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.passed and "name" in getattr(item, "noted", {}):
        ROWS.append(item.noted)
    if report.failed:
        for each in getattr(item, "running", []):
            for name, log in each.logs().items():
                report.sections.append((name, log[-9_000:]))
    return report


def pytest_terminal_summary(terminalreporter):
    if not ROWS:
        return
    terminalreporter.section("walkthroughs")
    columns = {
        "name": "walkthrough",
        "envoy": "Envoy",
        "requests": "requests",
        "with": "flips",
        "without": "without",
        "asserted": "asserted",
    }
    rows = [columns, *(sorted(ROWS, key=lambda each: (each["name"], each["envoy"])))]
    widths = {key: max(len(str(each.get(key, "-"))) for each in rows) for key in columns}
    terminalreporter.write_line(f"Istio {release()}; flips per 1,000 returning clients with the plugin, and without it")
    for each in rows:
        terminalreporter.write_line("  ".join(str(each.get(key, "-")).ljust(width) for key, width in widths.items()))
