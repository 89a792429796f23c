"""Pages of an app whose two versions have half of the clients each."""

from .stage import shop


def test_a_first_visit_is_whole(stage, clients):
    client = clients(stage(shop()))
    load = client.open()
    assert load.whole, load
