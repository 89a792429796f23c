"""A Next.js app with `deploymentId` in two builds: bundles, React's payloads and server actions."""

from .next_app import User
from .stage import shop, weights
from .table import TABLE


def test_a_client_with_a_pin_uses_the_app_while_its_version_drains(stage, clients, builds):
    served = stage(shop(), builds)
    users = [User(clients(served)) for _ in range(3)]
    before = TABLE.row("Next.js, dynamic", "Chromium", "none")
    # No cache may keep this page, so that it carries a pin.
    came = [user.come("/live") for user in users]
    for load in came:
        before.add(load)

    served.update(shop(versions=weights({"state": "draining"}, {}), stable="v2"))
    row = TABLE.row("Next.js, dynamic", "Chromium", "v1 drains")
    for user, first in zip(users, came, strict=True):
        steps = [("home", "client"), ("more", "late"), ("order", "ordered"), ("second", "home"), ("order", "ordered")]
        loads = [user.click(what, shows) for what, shows in steps]
        for load in loads:
            row.add(load)
        assert all(load.whole and load.page == first.page for load in [first, *loads]), [first, *loads]
        home, more, order, second, again = loads
        assert home.to("/?_rsc=") and second.to("/second?_rsc="), loads
        assert more.to("/_next/static/chunks/"), loads
        assert [load.requests[0].method for load in (order, again)] == ["POST", "POST"], loads
        assert user.text("ordered") == f"dpl_{first.page} took 2"
        assert user.stayed, "the page was loaded anew"
