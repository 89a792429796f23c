"""The client's address is as trustworthy as Envoy's settings for X-Forwarded-For."""

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
        # Without settings Envoy trusts the client's own header.
        ({}, FORGED, "office"),
        # At the edge of the network only the connection counts.
        ({"use_remote_address": True}, FORGED, "v1"),
        # One trusted load balancer in front appends the address that it sees, behind the client's own entries.
        ({"use_remote_address": True, "xff_num_trusted_hops": 1}, f"{FORGED}, 198.51.100.1", "v1"),
        ({"use_remote_address": True, "xff_num_trusted_hops": 1}, f"198.51.100.1, {FORGED}", "office"),
        # With more trusted hops than there are, Envoy trusts the client's own header again.
        ({"use_remote_address": True, "xff_num_trusted_hops": 2}, f"{FORGED}, 198.51.100.1", "office"),
    ],
    ids=["unconfigured", "edge", "balancer", "balancer says", "one hop too many"],
)
def test_the_client_s_address_is_the_one_that_envoy_determines(binary, start, manager, forwarded, expected):
    upstream = start(Upstream("upstream"))
    listener = make.listener("edge", [make.pinion(OFFICE)], [make.to("upstream")], **manager)
    envoy = start(Envoy(make.bootstrap([listener], [make.cluster("upstream", upstream.port)]), binary=binary))
    response = asyncio.run(Connection(envoy.port()).request(headers=[("x-forwarded-for", forwarded)]))
    assert response.echo().all("x-app-version") == [expected]
