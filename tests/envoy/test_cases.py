"""The named cases of tests/cases through a real Envoy."""

import asyncio
import json
import re
import time

import jwt

from harness import bootstrap as make
from harness.client import Connection, Response, gather
from harness.envoy import ROOT, Envoy
from harness.seals import sealed
from harness.upstream import Upstream

FILES = sorted((ROOT / "tests" / "cases").glob("*.json"))
GROUPS = [(file.name, group) for file in FILES for group in json.loads(file.read_text())]


def timed(value: str, now: int) -> str:
    """Replaces {now}, {now-60} and {now+60} by Unix seconds, and {pin:…} and {token:…} by signed values."""
    value = re.sub(r"\{now([-+]\d+)?\}", lambda found: str(now + int(found[1] or 0)), value)
    return re.sub(
        r"\{(pin|token):([^:]*):([^:]*):([^:]*):([^}]*)\}",
        lambda found: sealed(found[1], make.key(found[2]), found[3], found[4], found[5]),
        value,
    )


def is_like(pattern: str, value: str, now: int) -> bool:
    escaped = re.escape(pattern).replace(r"\{now\}", r"(\d{10})").replace(r"\{slot\}", r"\d{1,5}")
    escaped = escaped.replace(r"\{mac\}", r"[\w-]{22}").replace(r"\{later\}", r"\d{10}")
    found = re.fullmatch(escaped, value, re.DOTALL)
    return found is not None and all(abs(int(at) - now) <= 10 for at in found.groups())


def differences(side: str, expected: dict, seen: list, now: int) -> list[str]:
    wrong = []
    for name, patterns in expected.items():
        values = [value for field, value in seen if field == name]
        alike = len(values) == len(patterns) and all(map(is_like, patterns, values, [now] * len(values)))
        if not alike:
            wrong.append(f"  {side} {name}: expected {patterns}, saw {values}")
    return wrong


async def send(port: int, case: dict, now: int) -> Response:
    """Sends a case's request, with headers that tell the upstream its response."""
    request, answer = case.get("request", {}), case.get("answer", {})
    by = answer.get("by", "via_upstream")
    headers = [(name, timed(value, now)) for name, value in request.get("headers", [])]
    headers += [("x-test-by", by), ("x-test-answer", json.dumps(answer.get("headers", [])))]
    if "source" in case:
        # The header stands for a trusted hop, which appends the client's address.
        headers.append(("x-forwarded-for", case["source"]))
    if "claims" in case:
        token = jwt.encode({"iss": make.ISSUER, **case["claims"]}, make.JWT_KEY, "HS256")
        headers.append(("authorization", f"Bearer {token}"))
    connection = Connection(port)
    response = await connection.request(
        timed(request.get("path", "/"), now),
        host=request.get("host", "shop.example.com"),
        method=request.get("method", "GET"),
        headers=headers,
    )
    await connection.close()
    return response


async def run_case(port: int, case: dict) -> list[str]:
    now = int(time.time())
    answer, expect = case.get("answer", {}), case.get("expect", {})
    by = answer.get("by", "via_upstream")
    response = await send(port, case, now)
    wrong = differences("response", expect.get("response", {}), response.headers, now)
    for name, value in expect.get("filter_state", {}).items():
        wrong += differences("filter state", {name: [value]}, [(name, response.get(f"x-test-{name}") or "-")], now)
    if expect.get("blocked", False):
        if response.status != 204:
            wrong.append(f"  blocked: expected 204, saw {response.status}")
    elif by == "via_upstream" and response.status != 200:
        wrong.append(f"  expected 200, saw {response.status} {response.body!r}")
    elif case.get("request", {}).get("method") == "HEAD":
        assert "upstream" not in expect, "a response to HEAD has no body that shows the request"
    elif by == "via_upstream":
        echo = response.echo()
        upstream = [*echo.headers, (":path", echo.path), (":authority", *echo.all("host"))]
        wrong += differences("upstream", expect.get("upstream", {}), upstream, now)
    return wrong


def routes() -> list[dict]:
    """Routes to the upstream, and to responses that Envoy makes itself."""
    direct = {"match": {"prefix": "/", "headers": []}, "direct_response": {"status": 200}}
    direct["match"]["headers"] = [{"name": "x-test-by", "string_match": {"exact": "direct_response"}}]
    return [direct, make.to("none", x_test_by="no_healthy_upstream"), make.to("upstream")]


def test_every_case_passes_through_envoy(binary, start):
    ways = routes()
    # The filter state, which access logs show, is returned in response headers.
    shown = ["pinion_app", "pinion_reason"]
    ways[-1]["response_headers_to_add"] = [
        {"header": {"key": f"x-test-{name}", "value": f"%FILTER_STATE(wasm.{name}:PLAIN)%"}, "keep_empty_value": True}
        for name in shown
    ]
    upstream = start(Upstream("upstream"))
    listeners = [
        make.listener(f"group-{i}", [make.jwt_authn(), make.pinion(group["config"])], ways)
        for i, (_, group) in enumerate(GROUPS)
    ]
    clusters = [make.cluster("upstream", upstream.port), make.cluster("none", None)]
    envoy = start(Envoy(make.bootstrap(listeners, clusters), binary=binary))
    ports = [envoy.port(f"group-{i}") for i in range(len(GROUPS))]
    cases = [
        (f"{file}: {group['about']}: {case['name']}", port, case)
        for (file, group), port in zip(GROUPS, ports)
        for case in group["cases"]
    ]
    assert len(cases) > 150

    async def run_all():
        return await gather(run_case(port, case) for _, port, case in cases)

    results = asyncio.run(run_all())
    failed = ["\n".join([name, *wrong]) for (name, _, _), wrong in zip(cases, results) if wrong]
    assert not failed, f"{len(failed)} of {len(cases)} cases failed\n\n" + "\n\n".join(failed)
