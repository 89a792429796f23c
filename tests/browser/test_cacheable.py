"""Pages that a shared cache may keep: which get a pin, and that a pin never reaches another client."""

import re
import time

import pytest
from harness import bootstrap as make

from .client import Client
from .next_app import User
from .stage import shop, weights
from .table import TABLE

ASKED = ["express", "expired"]
"""Caching headers with which a shared cache asks before it uses a page."""
FRESH = ["nextjs", "cdn", "surrogate", "edge", "accel"]
"""Caching headers with which some shared cache uses a page without asking."""

PRIVATE = {"pin": {"cacheable": "private"}}
DRAINS = {"versions": weights({"state": "draining"}, {}), "stable": "v2"}


@pytest.mark.parametrize("kind", ASKED)
def test_pages_that_a_cache_asks_for_are_whole(measure, kind):
    met = measure(ASKED, shop(), "v1 drains", shop(**DRAINS), "Chromium")[kind]
    assert not met.broken, met.broken
    assert (met.flips, met.moved) == (0, 0)


@pytest.mark.parametrize("kind", ["nextjs", "cdn"])
def test_fresh_pages_are_whole_with_cacheable_private(measure, kind):
    config, drains = shop(**PRIVATE), shop(**PRIVATE, **DRAINS)
    met = measure(["nextjs", "cdn"], config, "v1 drains", drains, "Chromium", ", private")[kind]
    assert not met.broken, met.broken
    assert (met.flips, met.moved) == (0, 0)


def test_firefox_shows_whole_pages_with_cacheable_private(measure):
    met = measure(["nextjs"], shop(**PRIVATE), "v1 drains", shop(**PRIVATE, **DRAINS), "Firefox", ", private")["nextjs"]
    assert not met.broken, met.broken
    assert (met.flips, met.moved) == (0, 0)


def test_a_static_page_of_next_js_brings_a_pin_with_cacheable_private(stage, clients, builds):
    served = stage(shop(**PRIVATE), builds)
    row = TABLE.row("Next.js, static", "Chromium, private", "none")
    for user in [User(clients(served)) for _ in range(3)]:
        loads = [user.come("/"), user.click("second", "home"), user.click("order", "ordered")]
        for load in loads:
            row.add(load)
        assert user.client.pin() and user.stayed
        assert all(load.whole and load.page == loads[0].page for load in loads), loads


def test_fresh_pages_go_without_a_pin_by_default_and_are_counted(stage, clients):
    served = stage(shop())
    counted = 0
    for kind in FRESH:
        page = clients(served, kind).open().to("/")[0]
        assert page.pins is None, (kind, page)
        assert page.caching in ("s-maxage=31536000", "no-cache"), (kind, page)
        withheld = {name: count for name, count in served.envoy.metrics().items() if "pins_withheld" in name}
        assert all('pin_app="shop"' in name and re.search('pin_cause="[a-z_-]+"', name) for name in withheld), withheld
        assert sum(withheld.values()) > counted, (kind, served.envoy.metrics())
        counted = sum(withheld.values())
    warnings = [line for line in served.envoy.log().splitlines() if "[warning][wasm]" in line and "shop" in line]
    # One an hour at most, though pins were withheld from several answers.
    assert len(warnings) == 1, warnings


def test_only_the_answer_with_the_pin_becomes_private(stage, clients):
    served = stage(shop())
    for kind in "nothing", "no-cache", "express", "modified", "expired", "etag":
        client = clients(served, kind)
        page = client.open().to("/")[0]
        assert page.pins and "private" in (page.caching or ""), (kind, page)
        later = client.open("/second").to("/second")[0]
        assert later.pins is None and "private" not in (later.caching or ""), (kind, later)


def cache(served) -> list[dict]:
    """The filter behind a gateway that has Envoy's own cache."""
    config = {
        "@type": f"{make.TYPE}.extensions.filters.http.cache.v3.CacheConfig",
        "typed_config": {"@type": f"{make.TYPE}.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig"},
    }
    return served.behind([{"name": "envoy.filters.http.cache", "typed_config": config}])


@pytest.mark.parametrize(
    ("changes", "kind"),
    [({}, "express"), ({}, "etag"), (PRIVATE, "nextjs")],
    ids=["express", "etag", "nextjs, private"],
)
def test_a_cache_in_front_hands_no_pin_to_another_client(stage, clients, changes, kind):
    # One version answers all, so that what the cache asks is answered by 304.
    served = stage(shop(versions=weights({}, {"weight": 0.001}), **changes), listeners=cache)
    first = clients(served, kind)
    name = first.host.partition(".")[0]
    others = [Client(served, clients(served, alone=True).profile, name) for _ in range(2)]
    for number, client in enumerate(others):
        client.open(f"/of-{number}")
    pins = [client.pin() for client in others]
    # All ask for the very same address, and only the first one needs a pin.
    first.open("/shown")
    # What may be used for 0 seconds is used until the second is over.
    time.sleep(1.1)
    for client in others:
        client.open("/shown")
    assert [client.pin() for client in others] == pins
    held = [first.pin(), *pins]
    assert all(held) and len(set(held)) == len(held), held
