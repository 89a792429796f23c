"""Testers ask for a version by name, stay there, and see where they are."""

import pytest

from .client import Client
from .stage import ONE_DOMAIN, shop, weights

DARK = weights({}, {"weight": 0})
"""Nobody gets v2 who does not ask for it."""
OVERRIDE = {"query": "pinion-version", "cookie": "pinion-override", "allow": "any"}


def config(**override) -> dict:
    return shop(versions=DARK, override=OVERRIDE | override)


@pytest.mark.parametrize("kind", ["never", "nextjs", "no-cache"])
def test_a_tester_who_asks_by_name_stays_there_until_off(stage, clients, kind):
    client = clients(stage(config()), kind)
    assert client.open().page == "v1"
    asked = client.open("/?pinion-version=v2")
    assert asked.page == "v2" and asked.whole, asked
    held = client.open("/second")
    assert held.page == "v2" and held.whole, held
    late = client.more("late")
    assert late.whole, late
    client.open("/third?pinion-version=off")
    back = client.open("/")
    assert back.page == "v1" and back.whole, back
    assert not client.pins("pinion-override")


def test_an_override_cookie_with_a_domain_holds_on_all_subdomains(stage, clients):
    served = stage(shop(
            hosts=ONE_DOMAIN,
            versions=DARK,
            override=OVERRIDE | {"cookie": {"name": "pinion-override", "domain": "shop.test"}},
        ))
    client = clients(served, alone=True)
    other = Client(served, client.profile, f"other-{client.host.partition('.')[0]}")
    assert client.open("/?pinion-version=v2").page == "v2"
    there = other.open()
    assert there.page == "v2" and there.whole, there
    other.open("/second?pinion-version=off")
    for one in client, other:
        back = one.open("/third")
        assert back.page == "v1" and back.whole, back


@pytest.mark.parametrize("kind", ["never", "nextjs"])
@pytest.mark.parametrize("name", ["Chromium", "Firefox"])
def test_a_script_reads_the_version_in_server_timing(stage, clients, kind, name):
    client = clients(stage(shop(serverTiming=True, pin={"cookie": {"ttl": "24h"}})), kind, name)
    page = client.open().page
    timings = client.tab.value("performance.getEntriesByType('navigation')[0].serverTiming")
    # The description is the label, as in the response header: `v1 0`.
    assert [(timing["name"], timing["description"]) for timing in timings] == [("version", f"{page} 0")], timings
