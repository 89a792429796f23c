"""Builds, as frameworks name them: a page's parts go to the version of the build that the page is of."""

import itertools

import pytest

from .next_app import User
from .stage import shop, weights
from .table import TABLE

BUILD = {"build": {"query": "dpl", "header": "x-deployment-id"}}


def config(v1: dict, v2: dict, **changes) -> dict:
    """An app that knows the builds of its versions."""
    versions = weights({"builds": ["dpl_v1"], **v1}, {"builds": ["dpl_v2", "dpl_v2_preview"], **v2})
    return shop(versions=versions, pin=BUILD, **changes)


HALVES = config({}, {"weight": 50})
SWAPS = {
    "v1 drains": config({"state": "draining"}, {}, stable="v2"),
    "v2 rises": config({}, {"weight": 99.999}),
}


@pytest.mark.parametrize("swap", SWAPS)
def test_a_static_page_of_next_js_is_used_over_a_swap(stage, clients, builds, swap):
    served = stage(HALVES, builds)
    users = [User(clients(served)) for _ in range(3)]
    # Next.js serves this page with s-maxage, so that it brings no pin. The build decides.
    came = [user.come("/") for user in users]
    before, after = (TABLE.row("Next.js, static", "Chromium, builds", name) for name in ("none", swap))
    for load in came:
        before.add(load)
    assert all(load.whole for load in came), came

    served.update(SWAPS[swap])
    for user, first in zip(users, came, strict=True):
        steps = [("more", "late"), ("order", "ordered"), ("second", "home"), ("order", "ordered"), ("home", "live")]
        loads = [user.click(what, shows) for what, shows in steps]
        for load in loads:
            after.add(load)
        assert all(load.whole and load.page == first.page for load in loads), loads
        more, order, second, again, home = loads
        assert more.to("/_next/static/chunks/") and second.to("/second?_rsc="), loads
        assert [load.requests[0].method for load in (order, again)] == ["POST", "POST"], loads
        assert user.stayed, "the page was loaded anew"


def test_bundles_stay_cacheable(stage, clients, builds):
    served = stage(HALVES, builds)
    for path in "/", "/live":
        load = User(clients(served)).come(path)
        bundles = load.to("/_next/static/")
        assert bundles and all("dpl=" in request.path for request in bundles), load
        assert all(request.caching == "public, max-age=31536000, immutable" for request in bundles), bundles
        assert not [request for request in bundles if request.pins], load


def told(client, path: str, headers: str = "{}") -> str:
    """The version that answers a fetch of the page."""
    return client.tab.value(f"fetch('{path}', {{headers: {headers}}}).then(told)")


def test_a_build_id_decides_for_a_part_of_a_page(stage, clients):
    client = clients(stage(HALVES))
    page = client.open().page
    for build, version in {"dpl_v1": "v1", "dpl_v2": "v2", "dpl_v2_preview": "v2"}.items():
        assert told(client, f"/api/data?dpl={build}") == version
        assert told(client, "/api/data", f"{{'x-deployment-id': '{build}'}}") == version
    # The pin is as it was.
    assert client.open().page == page


def test_an_unknown_build_id_is_ignored(stage, clients):
    served = stage(HALVES)
    for client in [clients(served) for _ in range(3)]:
        page = client.open().page
        for build, asks in itertools.product(["dpl_v0", "", "x" * 300], range(2)):
            assert told(client, f"/api/data-{asks}?dpl={build}") == page


def test_a_page_is_not_chosen_by_a_build_id(stage, clients):
    served = stage(HALVES)
    for client in [clients(served) for _ in range(3)]:
        page = client.open().page
        other = {"v1": "dpl_v2", "v2": "dpl_v1"}[page]
        load = client.open(f"/?dpl={other}")
        assert load.page == page and load.whole, load
