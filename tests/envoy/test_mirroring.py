"""Requests that Envoy mirrors. The edge and the workloads share one Envoy and one VM."""

import asyncio
import time

import pytest

from harness import bootstrap as make
from harness.client import Connection, lines
from harness.envoy import Envoy, free_port
from harness.upstream import Upstream

EDGE = {"apps": [{"name": "orders", "versions": [{"name": "v1"}, {"name": "v2", "weight": 0}], "stable": "v1"}]}


def workload(version: str) -> dict:
    return {
        "stamp": {"from": {"value": version}},
        "mirror": {"detect": {"otherVersion": True}, "block": [{"methods": ["POST"], "paths": ["/payments"]}]},
    }


@pytest.fixture
def orders(binary, start):
    """An edge that mirrors v1's requests to v2, and routes /astray to v2 although the decision was v1."""
    v1, v2 = start(Upstream("v1")), start(Upstream("v2"))
    sidecar = free_port()
    mark = {"header": {"key": "x-pinion-mirror", "value": "true"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    by_header = {
        "cluster": "sidecar-v2",
        "disable_shadow_host_suffix_append": True,
        "request_headers_mutations": [{"append": mark}],
    }

    def mirrored(prefix: str, policy: dict) -> dict:
        return {"match": {"prefix": prefix}, "route": {"cluster": "v1", "request_mirror_policies": [policy]}}

    routes = [
        {"match": {"prefix": "/astray"}, "route": {"cluster": "sidecar-v2", "prefix_rewrite": "/payments"}},
        mirrored("/suffix", {"cluster": "sidecar-v2"}) | {"name": "suffix"},
        mirrored("/", by_header),
    ]
    beside_v2 = make.listener("sidecar-v2", [make.pinion(workload("v2"))], [make.to("v2")])
    beside_v2["address"]["socket_address"]["port_value"] = sidecar
    listeners = [make.listener("edge", [make.pinion(EDGE)], routes), beside_v2]
    clusters = [
        make.cluster("v1", v1.port), make.cluster("v2", v2.port), make.cluster("sidecar-v2", sidecar),
    ]  # fmt: skip
    envoy = start(Envoy(make.bootstrap(listeners, clusters), binary=binary, free_ports=False))
    return envoy, v1, v2


def ask(envoy: Envoy, path: str, **how):
    return asyncio.run(Connection(envoy.port("edge")).request(path, **how))


def arrived(upstream: Upstream) -> dict:
    """The only request that has reached an upstream."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if seen := upstream.seen():
            assert len(seen) == 1, seen
            return seen[0]
        time.sleep(0.02)
    pytest.fail("no request came")


@pytest.mark.parametrize("path", ["/header", "/suffix"])
@pytest.mark.parametrize("host", ["shop.example.com", "shop.example.com:8080", "[::1]", "[::1]:8080"])
def test_the_copy_is_tagged_and_gets_its_host_back_and_the_live_request_is_not_tagged(orders, path, host):
    envoy, v1, v2 = orders
    marks = [("x-mirrored", "true"), ("x-pinion-mirror", "true")]
    response = ask(envoy, path, host=host, headers=marks)
    assert (response.status, response.echo().version) == (200, "v1")
    real, copy = arrived(v1), arrived(v2)
    assert (lines(real["headers"], "x-mirrored"), lines(real["headers"], "x-pinion-mirror"), lines(real["headers"], "host")) == ([], [], [host])
    assert (lines(copy["headers"], "x-mirrored"), lines(copy["headers"], "host")) == (["true"], [host])
    assert lines(copy["headers"], "x-app-version") == ["v1"]


def test_a_blocked_copy_never_reaches_the_app_but_the_live_request_does(orders):
    envoy, v1, v2 = orders
    for _ in range(3):
        assert ask(envoy, "/payments", method="POST").echo().version == "v1"
    end = time.monotonic() + 20
    while envoy.metrics().get('pinion_mirrored_total{pin_outcome="blocked"}') != 3 and time.monotonic() < end:
        time.sleep(0.02)
    assert envoy.metrics()['pinion_mirrored_total{pin_outcome="blocked"}'] == 3
    assert (len(v1.seen()), v2.seen()) == (3, [])


def test_a_live_request_that_a_lagging_route_sent_astray_reaches_the_app(orders):
    envoy, _, v2 = orders
    response = ask(envoy, "/astray", method="POST")
    assert (response.status, response.echo().version) == (200, "v2")
    astray = arrived(v2)
    # The decision was v1 and v2 serves: the request is tagged, as an unmarked copy is, but not blocked.
    assert (astray["path"], lines(astray["headers"], "x-app-version"), lines(astray["headers"], "x-mirrored")) == ("/payments", ["v1"], ["true"])
    # The workload stamps the version that served, and the edge counts the mismatch.
    assert response.get("x-app-version") == "v2"
    mismatch = 'pinion_version_mismatch_total{pin_app="orders",pin_version="v1"}'
    assert envoy.metrics()[mismatch] == 1
