"""Only responses of an upstream are stamped, also where Envoy's header about the upstream's time is misleading."""

import asyncio

import pytest

from harness import bootstrap as make
from harness.client import Connection
from harness.envoy import Envoy
from harness.upstream import Upstream

CONFIG = {"apps": [{"name": "shop", "versions": [{"name": "v1"}]}]}
SERVICE_TIME = "x-envoy-upstream-service-time"


def guard() -> dict:
    """The ext_authz filter, which passes on all headers of the authorization server if that denies the request."""
    service = {"server_uri": {"uri": "http://127.0.0.1", "cluster": "guard", "timeout": "5s"}}
    config = {
        "@type": f"{make.TYPE}.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "http_service": service,
    }
    return {"name": "envoy.filters.http.ext_authz", "typed_config": config}


async def told(port: int) -> tuple[int, list[str], list[str], bool]:
    """Status, stamps, cookies, and whether the response has the header of the upstream's time."""
    connection = Connection(port)
    response = await connection.request("/")
    await connection.close()
    shown, given = response.all("x-app-version"), response.all("set-cookie")
    return response.status, shown, given, bool(response.all(SERVICE_TIME))


@pytest.mark.parametrize("status", [302, 401, 403])
def test_an_authorization_server_is_not_an_upstream(start, binary, status):
    app, says = start(Upstream("app")), start(Upstream("guard"))
    clusters = [make.cluster("app", app.port), make.cluster("guard", says.port)]
    listener = make.listener("edge", [make.pinion(CONFIG), guard()], [make.to("app")])
    envoy = start(Envoy(make.bootstrap([listener], clusters), binary=binary))
    says.fail(status)
    seen, shown, given, timed = asyncio.run(told(envoy.port()))
    assert timed, "ext_authz passes on the header that the test is about"
    assert (seen, shown, given) == (status, [], [])
    says.fail(0)
    seen, shown, given, timed = asyncio.run(told(envoy.port()))
    assert (seen, shown, len(given), timed) == (200, ["v1"], 1, True)


@pytest.mark.parametrize("status", [200, 404, 503])
def test_an_upstream_is_recognized_with_and_without_the_header(start, binary, status):
    app = start(Upstream("app"))
    routes = [make.to("app")]
    plain, bare = (make.listener(name, [make.pinion(CONFIG)], routes) for name in ("plain", "bare"))
    [manager] = bare["filter_chains"][0]["filters"]
    manager["typed_config"]["http_filters"][-1]["typed_config"]["suppress_envoy_headers"] = True
    envoy = start(Envoy(make.bootstrap([plain, bare], [make.cluster("app", app.port)]), binary=binary))
    app.fail(0 if status == 200 else status)
    for name, timed in (("plain", True), ("bare", False)):
        seen, shown, given, has_time = asyncio.run(told(envoy.port(name)))
        assert (seen, shown, len(given), has_time) == (status, ["v1"], 1, timed), name
