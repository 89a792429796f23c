"""Pages of an app whose two versions have half of the clients each.

Clients come, return, keep their page open over a swap, and return twice. Every part of every page comes from one
version, and no bundle is missing.
"""

import pytest

from .journeys import journey, visit
from .stage import ONE_DOMAIN, shop, weights

PINNED = ["nothing", "no-cache", "never", "modified"]
"""Caching headers with which no shared cache may use a page without asking."""

DRAINS = shop(versions=weights({"state": "draining"}, {}), stable="v2")
AT_ONCE = shop(versions=weights({"weight": 0}, {}), stable="v2")


@pytest.mark.parametrize("kind", PINNED)
def test_pages_are_whole_and_clients_stay_while_their_version_drains(measure, kind):
    met = measure(PINNED, shop(), "v1 drains", DRAINS, "Chromium")[kind]
    assert not met.broken, met.broken
    assert (met.flips, met.moved) == (0, 0)


@pytest.mark.parametrize("kind", ["never", "modified"])
def test_a_share_of_0_moves_clients_at_once(measure, kind):
    met = measure(["never", "modified"], shop(), "v1 has 0 at once", AT_ONCE, "Chromium")[kind]
    # A browser takes a page with nothing but a Last-Modified from its cache: there is no request that moves it.
    if kind != "modified":
        assert all(load.whole for load in met.visits), met.visits
        assert {load.page for loads in met.after for load in loads} == {"v2"}
    assert met.flips == 0


@pytest.mark.parametrize("kind", ["no-cache", "never"])
def test_firefox_shows_whole_pages(measure, kind):
    met = measure(["no-cache", "never"], shop(), "v1 drains", DRAINS, "Firefox")[kind]
    assert not met.broken, met.broken
    assert (met.flips, met.moved) == (0, 0)


def test_a_page_with_a_service_worker_is_whole_while_its_version_drains(stage, clients):
    served = stage(shop())
    come = [clients(served) for _ in range(3)]
    visit(come)
    for client in come:
        client.tab.value("serviceWorker()")
    served.settle()
    installed = [client.load() for client in come]
    assert all(load.whole for load in installed), installed
    assert all(load.to("/sw.js") and load.to("/assets/precache") for load in installed), installed

    met = journey({"never": come}, lambda: served.update(DRAINS))["never"]
    met.note("never", "Chromium, service worker", "v1 drains")
    assert not met.broken, met.broken
    assert (met.flips, met.moved) == (0, 0)


def test_a_second_tab_is_on_the_version_of_the_first(stage, clients):
    come = [clients(stage(shop())) for _ in range(3)]
    first = visit(come)
    for client in come:
        client.tab = client.another_tab()
    second = visit(come)
    assert all(load.whole for load in [*first, *second]), [*first, *second]
    assert [load.page for load in first] == [load.page for load in second]


def test_the_page_behind_a_form_is_whole(stage, clients):
    client = clients(stage(shop()))
    before = client.open()
    after = client.go("post()", "/order")
    assert [request.method for request in after.to("/order")] == ["POST"]
    assert after.whole and after.page == before.page, after


def test_a_cookie_with_a_domain_holds_on_all_subdomains(stage, clients):
    served = stage(shop(hosts=ONE_DOMAIN, pin={"cookie": {"domain": "shop.test"}}))
    come = [clients(served, alone=True) for _ in range(3)]
    first = visit(come)
    for client in come:
        client.host = f"other-{client.host}"
    second = visit(come)
    assert all(load.whole for load in [*first, *second]), [*first, *second]
    assert [load.page for load in first] == [load.page for load in second]


def test_an_app_that_another_site_embeds_is_whole_with_a_partitioned_cookie(stage, clients):
    served = stage(shop(pin={"cookie": {"sameSite": "None", "partitioned": True}}))
    come = [clients(served) for _ in range(3)]
    for name in "first", "second":
        for client in come:
            client.tab.open(f"https://pay.test:{served.port}/?target={client.url()}")
            client.tab.value("embed()")
            frame = client.tab.frames()[0]
            frame.value("parts")
            frame.value(f"more('{name}')")
            served.settle()
            requests = client.since()
            assert frame.value("version"), requests
            assert len({request.version for request in requests}) == 1, requests
            assert not [request for request in requests if request.code >= 400], requests
            if name == "first":
                client.page = requests[0].version
            assert requests[0].version == client.page, requests
