"""The failure policies, with a build of the filter that panics on demand."""

import asyncio
import time

import pytest

from harness import bootstrap as make
from harness.client import Connection
from harness.envoy import TOOLS, Envoy
from harness.upstream import Upstream

PANICS = TOOLS / "pinion-panics.wasm"
CONFIG = {"apps": [{"name": "shop", "versions": [{"name": "v1"}, {"name": "v2", "weight": 0}], "stable": "v1"}]}

SPOOF = ("x-app-version", "v2")


@pytest.fixture
def ask(binary, start):
    """Starts an Envoy with a failure policy. Returns a function that sends a request and returns the status and the
    route headers at the upstream."""

    def under(policy: str):
        upstream = start(Upstream("upstream"))
        listener = make.listener("edge", [make.pinion(CONFIG, policy)], [make.to("upstream")])
        bootstrap = make.bootstrap([listener], [make.cluster("upstream", upstream.port)])
        envoy = start(Envoy(bootstrap, binary=binary, module=PANICS))

        def ask(*headers: tuple[str, str]) -> tuple[int, list[str] | None]:
            response = asyncio.run(Connection(envoy.port()).request(headers=[SPOOF, *headers]))
            return response.status, response.echo().all("x-app-version") if response.status == 200 else None

        return ask

    return under


PANIC = ("x-test-panic", "1")


def test_fail_closed_answers_503_forever_after_one_panic(ask):
    ask = ask("FAIL_CLOSED")
    assert ask() == (200, ["v1"])
    assert ask(PANIC)[0] in (500, 503)
    time.sleep(2)
    assert ask() == (503, None)


def test_fail_open_lets_clients_set_the_route_header_after_one_panic(ask):
    ask = ask("FAIL_OPEN")
    assert ask() == (200, ["v1"])
    ask(PANIC)
    time.sleep(2)
    assert ask() == (200, ["v2"])


def test_fail_reload_recovers_on_the_next_request_and_soon_after_a_second_panic(ask):
    ask = ask("FAIL_RELOAD")
    assert ask() == (200, ["v1"])
    # Envoy reloads a VM at most once a second.
    time.sleep(2)
    assert ask(PANIC)[0] in (500, 503)
    assert ask() == (200, ["v1"])
    ask(PANIC)
    end = time.monotonic() + 20
    while ask() != (200, ["v1"]):
        assert time.monotonic() < end, "the filter did not recover"
        time.sleep(0.2)
