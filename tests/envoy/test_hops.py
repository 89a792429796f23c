"""inbound: keep over two chained Envoys."""

import asyncio

import pytest

from harness import bootstrap as make
from harness.client import Connection
from harness.envoy import Envoy, EnvoyFailed
from harness.upstream import Upstream

VERSIONS = [{"name": "v1"}, {"name": "v2", "weight": 0}]


def app(name: str, **more) -> dict:
    return {"apps": [{"name": name, "versions": VERSIONS, "stable": "v1", **more}]}


def test_the_next_hop_keeps_the_version_that_the_gateway_decided(binary, start):
    upstreams = {name: start(Upstream(name)) for name in ("v1", "v2")}

    def envoy(config: dict, to: dict[str, int]) -> Envoy:
        routes = [make.to(name, x_app_version=name) for name in to]
        clusters = [make.cluster(name, port) for name, port in to.items()]
        bootstrap = make.bootstrap([make.listener("edge", [make.pinion(config)], routes)], clusters)
        return start(Envoy(bootstrap, binary=binary))

    rule = {"match": [{"headers": {"end-user": {"exact": "tester"}}}], "version": "v2"}
    second = {name: upstream.port for name, upstream in upstreams.items()}
    keeping = envoy(app("backend", inbound="keep"), second)
    stripping = envoy(app("backend"), second)

    def ask(hop: Envoy) -> list[str]:
        gateway = envoy(app("frontend", rules=[rule]), {"v1": hop.port(), "v2": hop.port()})

        async def both() -> list[str]:
            port = gateway.port()
            spoof = ("x-app-version", "v2")
            tester = await Connection(port).request(headers=[("end-user", "tester")])
            stranger = await Connection(port).request(headers=[spoof])
            return [tester.echo().version, stranger.echo().version]

        return asyncio.run(both())

    assert ask(keeping) == ["v2", "v1"]
    assert ask(stripping) == ["v1", "v1"]


def test_a_gateway_refuses_inbound_keep(binary, start):
    listener = make.listener("edge", [make.pinion(app("shop", inbound="keep"))], [make.to("none")])
    bootstrap = make.bootstrap([listener], [make.cluster("none", None)])
    bootstrap["node"]["id"] = "router~127.0.0.1~gw.istio-system~istio-system.svc.cluster.local"
    with pytest.raises(EnvoyFailed, match=r"configuration refused: apps\[0\].inbound: must be strip on a gateway"):
        start(Envoy(bootstrap, binary=binary))
