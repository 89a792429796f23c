"""The cookie outlives the pin, so that a page that is open when its pin expires stays whole."""

import time

from .journeys import more, visit
from .stage import shop

DAY = 24 * 60 * 60


def test_a_page_whose_pin_expired_stays_whole(stage, clients):
    served = stage(shop(pin={"cookie": {"ttl": "2s", "grace": "24h"}}))
    come = [clients(served) for _ in range(4)]
    visit(come)
    visit(come)
    # Each pin is older than its TTL now.
    time.sleep(3)
    late = more(come, "late")
    assert all(load.whole for load in late), late
    before = [client.pin() for client in come]
    after = visit(come)
    assert all(load.whole for load in after), after
    # The next page brings a new pin.
    assert all(old != client.pin() for old, client in zip(before, come, strict=True))


def lifetime(client) -> float:
    """How many seconds from now on the browser keeps the cookie."""
    return client.pins()[0]["expiry"] - time.time()


def test_the_cookie_lives_one_ttl_longer_than_the_pin(stage, clients):
    client = clients(stage(shop(pin={"cookie": {"ttl": "24h"}})))
    client.open()
    assert 2 * DAY - 60 < lifetime(client) <= 2 * DAY


def test_the_grace_is_configured(stage, clients):
    client = clients(stage(shop(pin={"cookie": {"ttl": "24h", "grace": "1h"}})))
    client.open()
    assert 25 * 3600 - 60 < lifetime(client) <= 25 * 3600


def test_a_session_cookie_has_no_end(stage, clients):
    client = clients(stage(shop(pin={"cookie": {"session": True}})))
    first = client.open()
    kept = client.pins()
    assert len(kept) == 1 and "expiry" not in kept[0], kept
    second = client.open()
    assert first.whole and second.whole and first.page == second.page
