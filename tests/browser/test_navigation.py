"""A page that is open stays on its version when the shares change: only a navigation moves a client."""

import pytest

from .journeys import more, visit
from .stage import shop, weights

PINNED = ["nothing", "no-cache", "never", "modified"]
ON_V1 = shop(versions=weights({}, {"weight": 0.001}))
RAISED = shop(versions=weights({}, {"weight": 99.999}))
"""v1 keeps a share, and nearly every client of v1 belongs to v2 now."""


@pytest.mark.parametrize("kind", PINNED)
def test_open_pages_stay_whole_while_shares_change(measure, kind):
    met = measure(PINNED, ON_V1, "v2 rises", RAISED, "Chromium")
    assert not met[kind].broken, met[kind].broken
    assert met[kind].flips == 0
    # A browser takes a page with nothing but a Last-Modified from its cache: there is no request that moves it.
    if kind != "modified":
        assert {load.page for loads in met[kind].after for load in loads} == {"v2"}


def test_firefox_keeps_open_pages_whole(measure):
    met = measure(["never"], ON_V1, "v2 rises", RAISED, "Firefox")["never"]
    assert not met.broken, met.broken
    assert met.flips == 0
    assert {load.page for loads in met.after for load in loads} == {"v2"}


def on_v1(stage, clients, **where):
    """Clients that have a page of v1 open, when v2 has risen."""
    served = stage(ON_V1)
    come = [clients(served, **where) for _ in range(3)]
    assert {load.page for load in visit(come)} == {"v1"}
    served.update(RAISED)
    return come


def test_parts_never_rewrite_the_cookie(stage, clients):
    come = on_v1(stage, clients)
    before = [client.pin() for client in come]
    loads = more(come, "late")
    assert [client.pin() for client in come] == before
    assert not [request for load in loads for request in load.requests if request.pins], loads
    assert all(load.whole for load in loads), loads


def test_each_kind_of_part_stays_on_the_version_of_the_page(stage, clients):
    client = on_v1(stage, clients)[0]
    loads = {}
    for kind in "chunk", "data", "image", "worker", "events", "socket", "frame", "form":
        loads[kind] = client.more("late", kind)
        assert loads[kind].of(kind), loads[kind]
    assert not {kind: load for kind, load in loads.items() if not load.whole}


@pytest.mark.parametrize("how", ["prefetch", "prerender"])
def test_what_is_fetched_ahead_does_not_move_a_client(stage, clients, how):
    # Chromium fetches nothing ahead for a second tab of a site and profile.
    for client in on_v1(stage, clients, alone=True):
        before = client.pin()
        client.tab.value(f'speculate({{{how}: [{{source: "list", urls: ["/ahead"], eagerness: "immediate"}}]}})')
        load = client.until(lambda load: load.to("/ahead"))
        assert load.to("/ahead")[0].purpose.startswith("prefetch"), load
        assert load.whole and load.page == "v1", load
        assert client.pin() == before and not load.to("/ahead")[0].pins, load
        # The next page that the user asks for moves the client.
        assert client.open("/next").page == "v2"


def test_a_service_worker_keeps_open_pages_whole(stage, clients):
    served = stage(ON_V1)
    come = [clients(served) for _ in range(3)]
    visit(come)
    for client in come:
        client.tab.value("serviceWorker()")
    # From here on the pages come through the service worker.
    assert {load.page for load in visit(come)} == {"v1"}
    served.update(RAISED)
    loads = more(come, "late")
    assert all(load.whole for load in loads), loads
    after = visit(come)
    # The browser looks for a new service worker after a navigation. What it fetches belongs to the new version.
    assert {load.page for load in after} == {"v2"} and all(load.whole for load in after), after


def test_a_form_that_another_site_posts_leaves_the_pin_alone(stage, clients):
    served = stage(shop())
    come = [clients(served) for _ in range(6)]
    first = visit(come)
    for client, page in zip(come, first, strict=True):
        before = client.pin()
        client.tab.open(f"https://pay.test:{served.port}/?target={client.url('/paid')}")
        # A browser sends no Lax cookie here. The app answers with a redirect, on which the browser does.
        client.tab.value("post()")
        client.tab.until("document.querySelector('h1')?.textContent === '/thanks'")
        client.tab.value("parts")
        served.settle()
        requests = client.since()
        paid = [request for request in requests if request.path == "/paid"]
        assert paid and paid[0].method == "POST" and not paid[0].cookie, requests
        assert paid[0].pins is None, paid
        assert client.pin() == before
        rest = {request.version for request in requests if request.path != "/paid"}
        assert rest == {page.page}, requests
