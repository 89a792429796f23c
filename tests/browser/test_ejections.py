"""A version that is ejected takes nobody new, and a redirect inside Envoy is one decision."""

import time

from .driver import SECONDS
from .journeys import visit
from .loads import Load
from .stage import PROBES, shop, weights

DETECTION = {"consecutiveGatewayErrors": 1, "baseEjectionTime": "6s"}


def test_a_client_that_came_during_an_ejection_stays_where_it_was_served(stage, clients, app):
    served = stage(shop(versions=weights({}, {"weight": 99}), outlierDetection=DETECTION))
    come = [clients(served) for _ in range(4)]
    app["v2"].fail(503)
    try:
        until = time.monotonic() + SECONDS
        while not any("ejections" in name for name in served.envoy.metrics()):
            served.probe()
            assert time.monotonic() < until, "v2 was not ejected"
        during = visit(come)
    finally:
        app["v2"].fail(0)
    assert {load.page for load in during} == {"v1"} and all(load.whole for load in during), during
    held = 0
    # v2 is back on both workers.
    while held < PROBES:
        held = held + 1 if served.probe().startswith("v2") else 0
        assert time.monotonic() < until, "v2 did not come back"
        time.sleep(0.05)
    after = visit(come)
    assert {load.page for load in after} == {"v1"} and all(load.whole for load in after), after


def redirecting(served) -> list[dict]:
    """A listener that follows redirects itself."""
    routes = served.routes()
    for route in routes[1:]:
        route["route"]["internal_redirect_policy"] = {"max_internal_redirects": 1}
    return [served.edge([served.agent(), served.pinion()], routes)]


def test_an_internal_redirect_keeps_the_decision_and_gives_the_pin(stage, clients):
    served = stage(shop(), listeners=redirecting)
    come = [clients(served) for _ in range(6)]
    for client in come:
        client.tab.open(client.url("/moved"))
        client.tab.value("parts")
        served.settle()
        first = Load(client.tab.value("version"), client.since())
        # The browser saw no redirect, and the upstreams saw both paths.
        assert client.tab.value("location.pathname") == "/moved"
        seen = [
            (record["target"], record["version"])
            for upstream in served.upstreams.values()
            for record in upstream.seen(client.host)
            if record["target"] in ("/moved", "/arrived")
        ]
        assert sorted(seen) == [("/arrived", first.page), ("/moved", first.page)], seen
        assert client.pin() and first.whole, first
    second = visit(come)
    assert all(load.whole for load in second), second
