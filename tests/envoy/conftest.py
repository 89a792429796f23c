"""Fixtures of the tests with a real Envoy. They run on the oldest release that installs and on the newest."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import envoy  # noqa: E402

RELEASES = [envoy.OLDEST, envoy.NEWEST]


@pytest.fixture(scope="session", params=RELEASES)
def binary(request) -> Path:
    """An Envoy binary. Each test that uses it runs on both releases."""
    return envoy.installed(request.param)


@pytest.fixture
def start(request):
    """Starts Envoys and upstreams, and ends them with the test. If the test fails, the logs of the Envoys are shown."""
    started = []
    request.node.started = started

    def enter(block):
        started.append(block)
        return block.__enter__()

    yield enter
    for block in reversed(started):
        block.__exit__(None, None, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for block in getattr(item, "started", []):
            if isinstance(block, envoy.Envoy):
                report.sections.append((f"Envoy's log: {block.binary}", block.log()[-20_000:]))
    return report
