"""`observe: true` on every app of the named cases. All requests and responses pass as without the filter, including the
order of header lines, and the filter counts its decisions."""

import asyncio
import re
import time

from test_cases import GROUPS, routes, send

from harness import bootstrap as make
from harness.client import Response, gather
from harness.envoy import Envoy
from harness.upstream import Upstream

BY_NATURE = {"date", "x-envoy-upstream-service-time"}
"""Response headers that differ between two requests. The body, which holds the request at the upstream, is compared
in full, because both listeners generate no `x-request-id`."""

EDGES = [(f"{file}: {group['about']}", group) for file, group in GROUPS if group["config"].get("apps")]


def observed(config: dict) -> dict:
    return config | {"apps": [app | {"observe": True} for app in config["apps"]]}


def seen(response: Response) -> tuple:
    headers = [(name, value) for name, value in response.headers if name not in BY_NATURE]
    return response.status, headers, response.body


def counted(envoy: Envoy) -> dict[str, int]:
    """The counts of decisions by app and reason, and of rejected pins by cause. Versions are random and left out."""
    found: dict[str, int] = {}
    for metric, value in envoy.metrics().items():
        name, _, labels = metric.partition("{")
        if name.endswith("_total"):
            kept = [name, *(text for label, text in re.findall(r'pin_(\w+)="([^"]*)"', labels) if label != "version")]
            found[" ".join(kept)] = found.get(" ".join(kept), 0) + int(value)
    return found


def test_in_observe_mode_requests_pass_as_without_the_filter(binary, start):
    upstream = start(Upstream("upstream"))

    def listener(name: str, filters: list[dict]) -> dict:
        return make.listener(name, [make.jwt_authn(), *filters], routes(), generate_request_id=False)

    listeners = [listener("without", [])]
    for i, (_, group) in enumerate(EDGES):
        listeners.append(listener(f"observing-{i}", [make.pinion(observed(group["config"]))]))
        listeners.append(listener(f"acting-{i}", [make.pinion(group["config"])]))
    clusters = [make.cluster("upstream", upstream.port), make.cluster("none", None)]
    envoy = start(Envoy(make.bootstrap(listeners, clusters), binary=binary))
    ports = envoy.ports()
    cases = [
        (f"{about}: {case['name']}", i, case) for i, (about, group) in enumerate(EDGES) for case in group["cases"]
    ]
    assert len(cases) > 150
    now = int(time.time())

    async def all_by(kind: str) -> list[Response]:
        return await gather(send(ports[kind.format(i)], case, now) for _, i, case in cases)

    without = asyncio.run(all_by("without"))
    assert counted(envoy) == {}
    observing = asyncio.run(all_by("observing-{}"))
    while_observing = counted(envoy)
    different = [
        f"{name}\n  without   {seen(one)}\n  observing {seen(other)}"
        for (name, _, _), one, other in zip(cases, without, observing)
        if seen(one) != seen(other)
    ]
    assert not different, f"{len(different)} of {len(cases)} differ\n" + "\n".join(different[:5])
    # The counts are the same as in enforce mode.
    acting = asyncio.run(all_by("acting-{}"))
    twice = {name: 2 * count for name, count in while_observing.items()}
    assert sum(while_observing.values()) > 150 and counted(envoy) == twice
    # In enforce mode nearly all cases differ, so the comparison can detect a difference.
    alike = [name for (name, _, _), one, other in zip(cases, without, acting) if seen(one) == seen(other)]
    assert len(alike) < len(cases) / 10, alike


def test_in_observe_mode_a_request_of_no_app_passes_as_without_the_filter(binary, start):
    """Mirror marks pass too; they are removed as soon as one app is in enforce mode. An app in observe mode sends no
    explanation."""
    upstream = start(Upstream("upstream"))
    app = {"name": "shop", "hosts": ["shop"], "versions": [{"name": "v1"}], "observe": True}
    other = {**app, "name": "other", "hosts": ["other"], "routeHeader": "x-other", "observe": False}
    configs = {"observing": {"apps": [app]}, "mixed": {"apps": [app, other]}}
    listeners = [make.listener("without", [], [make.to("upstream")], generate_request_id=False)]
    for name, config in configs.items():
        filters = [make.pinion({**config, "explain": {"allow": "any"}})]
        listeners.append(make.listener(name, filters, [make.to("upstream")], generate_request_id=False))
    envoy = start(Envoy(make.bootstrap(listeners, [make.cluster("upstream", upstream.port)]), binary=binary))
    ports = envoy.ports()
    marks = ["x-app-version", "x-other", "x-mirrored", "x-pinion-mirror"]

    async def ask(listener: str, host: str, *headers: tuple[str, str]) -> Response:
        case = {"request": {"host": host, "headers": [*headers, *((name, "theirs") for name in marks)]}}
        return await send(ports[listener], case, 0)

    async def run() -> None:
        why = ("x-pinion-explain", "1")
        for host in ("shop", "elsewhere"):
            assert seen(await ask("observing", host)) == seen(await ask("without", host)), host
        assert seen(await ask("mixed", "shop")) == seen(await ask("without", "shop"))
        assert (await ask("observing", "shop", why)).get("x-pinion-decision") is None
        assert (await ask("mixed", "shop", why)).get("x-pinion-decision") is None
        answer = await ask("mixed", "elsewhere", why)
        assert answer.get("x-pinion-decision") == "app=none"
        left = [name for name in marks if answer.echo().all(name)]
        assert left == ["x-app-version"], "the filter leaves the header of an app in observe mode"

    asyncio.run(run())


def test_an_app_in_observe_mode_ejects_no_version(binary, start):
    upstream = start(Upstream("v2"))
    versions = [{"name": "v1"}, {"name": "v2", "weight": 50}]
    app = {"name": "shop", "versions": versions, "stable": "v1", "observe": True}
    app["outlierDetection"] = {"consecutiveGatewayErrors": 2, "baseEjectionTime": "60s"}
    listener = make.listener("edge", [make.pinion({"apps": [app]})], [make.to("upstream")])
    envoy = start(Envoy(make.bootstrap([listener], [make.cluster("upstream", upstream.port)]), binary=binary))
    upstream.fail(503)
    case = {"request": {"headers": [["cookie", "pinion-shop=v2~{now}~0~0"]]}}

    async def run() -> list[int]:
        return [(await send(envoy.port(), case, int(time.time()))).status for _ in range(5)]

    assert asyncio.run(run()) == [503] * 5
    assert envoy.metrics().keys() >= {'pinion_requests_total{pin_app="shop",pin_version="v2",pin_reason="pin"}'}
    assert counted(envoy) == {"pinion_requests_total shop pin": 5}
