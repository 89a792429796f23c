"""Cookies that a browser takes and keeps."""

import time

import pytest

from .journeys import visit
from .stage import ONE_DOMAIN, shop, weights


def behind_tls(served) -> list[dict]:
    """The filter behind a proxy that takes TLS off."""
    return served.behind([])


@pytest.mark.parametrize(
    "cookie",
    [{"sameSite": "None"}, {"name": "__Host-pinion"}, {"name": "__Secure-pinion"}],
    ids=["SameSite=None", "__Host-", "__Secure-"],
)
def test_secure_follows_from_what_the_cookie_is(stage, clients, cookie):
    served = stage(shop(pin={"cookie": cookie}), listeners=behind_tls)
    come = [clients(served) for _ in range(3)]
    first, second = visit(come), visit(come)
    assert all(len(client.pins(cookie.get("name", "pinion-shop"))) == 1 for client in come)
    assert all(load.whole for load in [*first, *second]), [*first, *second]
    assert [load.page for load in first] == [load.page for load in second]


def test_an_embedded_app_is_whole_behind_a_proxy_that_takes_tls_off(stage, clients):
    cookie = {"sameSite": "None", "partitioned": True}
    served = stage(shop(pin={"cookie": cookie}), listeners=behind_tls)
    for client in [clients(served) for _ in range(3)]:
        client.tab.open(f"https://pay.test:{served.port}/?target={client.url()}")
        client.tab.value("embed()")
        client.tab.frames()[0].value("parts")
        served.settle()
        requests = client.since()
        assert len(requests) > 10 and len({request.version for request in requests}) == 1, requests


def test_two_apps_share_the_name_of_a_cookie(stage, clients):
    cookie = {"cookie": {"name": "version"}}
    served = stage([shop(hosts=["*.shop.test"], pin=cookie), shop(name="cart", hosts=["*.cart.test"], pin=cookie)])
    come = [clients(served, site=site) for site in ("shop.test", "cart.test") for _ in range(2)]
    first, second = visit(come), visit(come)
    assert all(len(client.pins("version")) == 1 for client in come)
    assert all(load.whole for load in [*first, *second]), [*first, *second]
    assert [load.page for load in first] == [load.page for load in second]


def test_the_newest_of_several_pins_wins_and_the_others_expire(stage, clients):
    follow = {"follow": "version"}
    wide = {**follow, "cookie": {"domain": "shop.test"}}
    served = stage(shop(hosts=ONE_DOMAIN, versions=weights({}, {"weight": 0.001}), pin=follow))
    come = [clients(served, alone=True) for _ in range(3)]
    assert {load.page for load in visit(come)} == {"v1"}
    # Pins are told apart by the second in which they were issued.
    time.sleep(1.1)
    served.update(shop(hosts=ONE_DOMAIN, versions=weights({}, {"weight": 99.999}), pin=wide))
    hosts = [client.host for client in come]
    for client in come:
        client.host = f"other-{client.host}"
    assert {load.page for load in visit(come)} == {"v2"}
    # Here the browser sends the cookie of the host first, as it is older, and then that of the domain.
    for client, host in zip(come, hosts, strict=True):
        client.host = host
        client.since()
    both = visit(come)
    assert {load.page for load in both} == {"v2"} and all(load.whole for load in both), both
    assert [len(client.pins()) for client in come] == [1, 1, 1]
    assert all(client.pins()[0]["domain"] == ".shop.test" for client in come)
