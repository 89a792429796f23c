"""Clients without a pin: `pin.initial` says what their first slot is derived from.

All requests of such a client agree, though none of them knows of another.
"""

import time

import pytest

from .driver import BARE
from .journeys import both, visit
from .stage import shop, weights
from .table import TABLE

PARTS = [{"sourceIp": True}, {"header": "user-agent"}]
INITIAL = {"pin": {"initial": [{"parts": PARTS}]}}
DRAINS = {"versions": weights({"state": "draining"}, {}), "stable": "v2"}


@pytest.mark.parametrize("kind", ["nextjs", "never"])
def test_pages_without_a_pin_are_whole(measure, kind):
    config, drains = shop(**INITIAL), shop(**INITIAL, **DRAINS)
    met = measure(["nextjs", "never"], config, "v1 drains", drains, "Chromium", ", initial")[kind]
    assert not met.broken, met.broken
    assert (met.flips, met.moved) == (0, 0)


def test_clients_have_their_own_slots(stage, clients):
    served = stage(shop(**INITIAL))
    # Slots are hashes of what is the same in each run, so that this is no matter of chance.
    pages = {served.probe(host=f"alone-{number}.shop.test").split()[0] for number in range(12)}
    assert pages == {"v1", "v2"}


def test_two_tabs_that_open_at_once_are_on_one_version(stage, clients):
    served = stage(shop(**INITIAL))
    for client in [clients(served, "nextjs") for _ in range(3)]:
        first, second, load = both(client, client.another_tab())
        TABLE.row("nextjs", "Chromium, two tabs, initial", "none").add(load)
        assert first == second and load.whole, load


def test_a_browser_without_cookies_stays_on_one_version(stage, clients):
    served = stage(shop(**INITIAL))
    come = [clients(served, site=BARE) for _ in range(4)]
    first, second = visit(come), visit(come)
    assert not any(client.pins() for client in come)
    for load in [*first, *second]:
        TABLE.row("never", "Chromium, no cookies, initial", "none").add(load)
    assert all(load.whole for load in [*first, *second]), [*first, *second]
    assert [load.page for load in first] == [load.page for load in second]


def test_a_prefetched_page_is_of_the_version_that_the_client_gets(stage, clients):
    served = stage(shop(**INITIAL))
    # Chromium fetches nothing ahead for a second tab of a site and profile.
    for client in [clients(served, "nextjs", alone=True) for _ in range(3)]:
        page = client.open()
        client.tab.value('speculate({prefetch: [{source: "list", urls: ["/next"], eagerness: "immediate"}]})')
        fetched = client.until(lambda load: load.to("/next"))
        assert fetched.to("/next")[0].purpose == "prefetch", fetched
        assert page.whole and fetched.whole, [page, fetched]
        shown = client.go("location.assign('/next')", "/next")
        assert shown.whole and shown.page == page.page, shown


def two_gateways(served) -> list[dict]:
    """The filter behind another gateway that has the filter too, and tells which version it chose."""
    said = {"header": {"key": "x-edge-version", "value": "%REQ(X-APP-VERSION)%"}}
    route = {"request_headers_to_add": [said]}
    # The second gateway takes the client's address from X-Forwarded-For.
    return served.behind([served.agent(), served.pinion()], route, filters=[served.pinion()], use_remote_address=False)


@pytest.mark.parametrize("kind", ["nextjs", "never"])
def test_two_gateways_in_a_row_choose_the_same_version(stage, clients, kind):
    served = stage(shop(**INITIAL), listeners=two_gateways)
    come = [clients(served, kind) for _ in range(3)]
    loads = [*visit(come), *visit(come)]
    assert all(load.whole for load in loads), loads
    for load in loads:
        assert [request for request in load.requests if request.edge], load
        assert all(request.edge == request.version for request in load.requests), load


def test_a_client_keeps_its_version_when_what_it_is_derived_from_changes(stage, clients):
    # After each second, clients without a pin have other slots.
    served = stage(shop(pin={"initial": [{"parts": PARTS, "every": "1s"}]}))
    come = [clients(served) for _ in range(6)]
    first = [client.open() for client in come]
    time.sleep(1.1)
    second = visit(come)
    assert [load.page for load in first] == [load.page for load in second]
    assert all(load.whole for load in second), second
