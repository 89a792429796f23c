"""What a client's address is worth: as much as Envoy's settings make of X-Forwarded-For."""

import asyncio

import pytest

from harness import bootstrap as make
from harness.client import Connection
from harness.envoy import Envoy
from harness.upstream import Upstream

OFFICE = {
    "apps": [
        {
            "name": "shop",
            "versions": [{"name": "v1"}, {"name": "office", "weight": 0}],
            "stable": "v1",
            "rules": [{"match": [{"sourceIps": ["203.0.113.0/24"]}], "version": "office"}],
        }
    ]
}

FORGED = "203.0.113.7"


@pytest.mark.parametrize(
    ("manager", "forwarded", "expected"),
    [
        # Nothing is known of who forwards: a client's own word counts.
        ({}, FORGED, "office"),
        # The edge of the network: only the connection counts.
        ({"use_remote_address": True}, FORGED, "v1"),
        # One trusted balancer in front, which appends the address that it sees; what a client wrote stands before it.
        ({"use_remote_address": True, "xff_num_trusted_hops": 1}, f"{FORGED}, 198.51.100.1", "v1"),
        ({"use_remote_address": True, "xff_num_trusted_hops": 1}, f"198.51.100.1, {FORGED}", "office"),
        # More hops are trusted than there are: the client's word counts again.
        ({"use_remote_address": True, "xff_num_trusted_hops": 2}, f"{FORGED}, 198.51.100.1", "office"),
    ],
    ids=["unconfigured", "edge", "balancer", "balancer says", "one hop too many"],
)
def test_an_address_is_worth_what_the_proxy_makes_of_it(binary, start, manager, forwarded, expected):
    upstream = start(Upstream("upstream"))
    listener = make.listener("edge", [make.pinion(OFFICE)], [make.to("upstream")], **manager)
    envoy = start(Envoy(make.bootstrap([listener], [make.cluster("upstream", upstream.port)]), binary=binary))
    response = asyncio.run(Connection(envoy.port()).request(headers=[("x-forwarded-for", forwarded)]))
    assert response.echo().all("x-app-version") == [expected]
