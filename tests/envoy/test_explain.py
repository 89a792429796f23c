"""Only allowed clients get the reason of a decision, step by step, also in responses that Envoy makes."""

import asyncio
import hashlib
import re
import time

from harness import bootstrap as make
from harness.client import Connection, Header, Response
from harness.envoy import Envoy, free_port
from harness.upstream import Upstream

ASK, TESTER = ("x-pinion-explain", "1"), ("x-tester", "yes")
ERRORS = 2

VERSIONS = [
    {"name": "v1"},
    {"name": "v2", "weight": 30},
    {"name": "dark", "weight": 0},
    {"name": "old", "state": "draining"},
    {"name": "gone", "state": "retired"},
]

SHOP = {
    "name": "shop",
    "hosts": ["shop"],
    "versions": VERSIONS,
    "stable": "v1",
    "override": {"header": "x-version-override", "allow": "any"},
    "inbound": "keep",
    "rules": [
        {"match": [{"headers": {"end-user": {"exact": "tester"}}}], "version": "dark"},
        {"match": [{"paths": ["/x/split"]}], "split": [{"version": name, "weight": 50} for name in ("v1", "v2")]},
    ],
    "pin": {"key": [{"header": "x-user-id"}, {"cookie": "session"}], "epoch": 3},
}

BARE = {"name": "bare", "hosts": ["bare"], "versions": [{"name": "v1"}]}
GUARDED = {**BARE, "name": "guarded", "hosts": ["guarded"]}
GUARDED["override"] = {"header": "x-version-override", "allow": [{"headers": {"x-chief": {"exact": "yes"}}}]}
OFF = {**BARE, "name": "off", "hosts": ["off"], "enabled": False}
WATCHED = {
    **BARE,
    "name": "watched",
    "hosts": ["watched"],
    "versions": [{"name": "v1"}, {"name": "v2", "weight": 30}],
    "stable": "v1",
    "outlierDetection": {"consecutiveGatewayErrors": ERRORS, "baseEjectionTime": "60s"},
}
CONFIG = {
    "apps": [SHOP, BARE, GUARDED, OFF, WATCHED],
    "explain": {"allow": [{"headers": {"x-tester": {"exact": "yes"}}}]},
}

GRAMMAR = re.compile(r'[a-z]+=("[A-Za-z0-9._-]+"|[a-z0-9]+)(, [a-z]+=("[A-Za-z0-9._-]+"|[a-z0-9]+))*')
"""A Structured Fields dictionary of strings, tokens and numbers."""


def slot(key: str) -> int:
    digest = hashlib.sha256(f"pinion1-slot|shop|3|{key}".encode()).digest()
    return (int.from_bytes(digest[:8]) >> 12) % 100_000


def keyed(key: str) -> str:
    return f'version="{"v2" if slot(key) < 30_000 else "v1"}", reason=key, slot={slot(key)}'


def carried(pin: str) -> Header:
    return "cookie", f"pinion-shop={pin}"


NOW = int(time.time())
NONE = "override=unasked, inbound=absent, rule=unmatched"
DRAWN = r'version="v\d", reason=draw, slot=\d+, override=unasked, inbound=absent, rule=unmatched, key=absent'
FORCED = ("x-version-override", "dark")

CASES: dict[str, tuple[str, list[Header], str]] = {
    "an override": ("shop", [FORCED], 'version="dark", reason=override, override=held'),
    "an override that names no version": (
        "shop",
        [("x-version-override", "v9"), ("x-user-id", "ann")],
        f"{keyed('ann')}, override=unknown, inbound=absent, rule=unmatched, key=0",
    ),
    "an override that names a retired version": (
        "shop",
        [("x-version-override", "gone"), ("x-user-id", "ann")],
        f"{keyed('ann')}, override=unknown, inbound=absent, rule=unmatched, key=0",
    ),
    "inbound": ("shop", [("x-app-version", "v2")], 'version="v2", reason=inbound, override=unasked, inbound=held'),
    "inbound that names no version": (
        "shop",
        [("x-app-version", "v9"), ("x-user-id", "ann")],
        f"{keyed('ann')}, override=unasked, inbound=unknown, rule=unmatched, key=0",
    ),
    "a rule": (
        "shop",
        [("end-user", "tester")],
        'version="dark", reason=rule, override=unasked, inbound=absent, rule=0',
    ),
    "a split, by a pin": (
        "shop/split",
        [carried(f"v1~{NOW}~3~40000")],
        'version="v2", reason=rule, slot=40000, override=unasked, inbound=absent, rule=1, key=absent, pin=held',
    ),
    "a split, by a key": (
        "shop/split",
        [("x-user-id", "ann")],
        rf'version="v\d", reason=rule, slot={slot("ann")}, override=unasked, inbound=absent, rule=1, key=0',
    ),
    "a key": ("shop", [("x-user-id", "ann")], f"{keyed('ann')}, {NONE}, key=0"),
    "the second key": ("shop", [("cookie", "session=bob")], f"{keyed('bob')}, {NONE}, key=1"),
    "a pin": (
        "shop",
        [carried(f"v1~{NOW}~3~48280")],
        f'version="v1", reason=pin, slot=48280, {NONE}, key=absent, pin=held',
    ),
    "a pin of a draining version": (
        "shop",
        [carried(f"old~{NOW}~3~48280")],
        f'version="old", reason=pin, slot=48280, {NONE}, key=absent, pin=held',
    ),
    "no pin": ("shop", [], f"{DRAWN}, pin=absent"),
    "a broken pin": ("shop", [carried("v1~evil")], f"{DRAWN}, pin=malformed"),
    "a pin that has run out": ("shop", [carried(f"v1~{NOW - 90_000}~3~5")], f"{DRAWN}, pin=expired"),
    "a pin from the future": ("shop", [carried(f"v1~{NOW + 9_000}~3~5")], f"{DRAWN}, pin=future"),
    "a pin of another epoch": ("shop", [carried(f"v1~{NOW}~2~5")], f"{DRAWN}, pin=epoch"),
    "a pin of a retired version": ("shop", [carried(f"gone~{NOW}~3~5")], f"{DRAWN}, pin=retired"),
    "a pin of no version": ("shop", [carried(f"evil~{NOW}~3~5")], f"{DRAWN}, pin=unknown"),
    "too many cookies": ("shop", [("cookie", "evil=1;" * 600)], f"{DRAWN}, pin=oversized"),
    "an app without more": (
        "bare",
        [],
        r'version="v1", reason=draw, slot=\d+, override=unconfigured, inbound=stripped, rule=unconfigured, '
        r"key=unconfigured, pin=absent",
    ),
    "an override that is not theirs to use": (
        "guarded",
        [FORCED],
        r'version="v1", reason=draw, slot=\d+, override=denied, inbound=stripped, rule=unconfigured, '
        r"key=unconfigured, pin=absent",
    ),
    "an app that is not enabled": ("off", [], "app=none"),
    "no app": ("evil.org", [], "app=none"),
}
"""By the deciding step: the host, further headers, and a pattern of the answer after the app's name."""


def started(binary, start) -> tuple[Envoy, Upstream]:
    upstream = start(Upstream("v1"))
    own = {"none": None, "down": free_port()}
    direct = {**make.to("", x_test_by="direct"), "direct_response": {"status": 503}}
    del direct["route"]
    served = make.to("upstream")
    served["match"]["prefix"] = "/x"
    routes = [direct, *(make.to(name, x_test_by=name) for name in own), served]
    clusters = [make.cluster(name, port) for name, port in {"upstream": upstream.port, **own}.items()]
    listener = make.listener("edge", [make.pinion(CONFIG)], routes)
    return start(Envoy(make.bootstrap([listener], clusters), binary=binary)), upstream


async def ask(port: int, where: str, headers: list[Header], path: str = "/x", **how) -> Response:
    host, _, rest = where.partition("/")
    connection = Connection(port)
    response = await connection.request(f"{path}/{rest}" if rest else path, host=host, headers=headers, **how)
    await connection.close()
    return response


def decision(response: Response) -> str | None:
    answer = response.get("x-pinion-decision")
    assert answer is None or (GRAMMAR.fullmatch(answer) and "evil" not in answer), answer
    return answer


def test_each_step_is_explained_and_only_to_allowed_clients(binary, start):
    envoy, _ = started(binary, start)
    port = envoy.port()

    async def run() -> None:
        for name, (where, headers, expected) in CASES.items():
            host = where.partition("/")[0]
            full = expected if expected == "app=none" else f'app="{host}", {expected}'
            asked = await ask(port, where, [*headers, ASK, TESTER])
            assert asked.status == 200 and re.fullmatch(full, decision(asked)), (name, decision(asked))
            if expected != "app=none":
                # The explanation is about this request.
                assert f'version="{asked.echo().all("x-app-version")[0]}"' in decision(asked), name
            for others in ([ASK], [TESTER], [ASK, ("x-tester", "no")], []):
                assert decision(await ask(port, where, [*headers, *others])) is None, (name, others)
        preflight = [("origin", "https://a"), ("access-control-request-method", "PUT"), ASK, TESTER]
        answer = decision(await ask(port, "shop", preflight, method="OPTIONS"))
        assert answer == f'app="shop", version="v1", reason=draw, {NONE}, key=absent, pin=absent'

    asyncio.run(run())


def test_responses_that_envoy_makes_are_explained_too(binary, start):
    envoy, _ = started(binary, start)

    async def run() -> None:
        seen = {}
        for by, path in [("none", "/x"), ("down", "/x"), ("direct", "/x"), ("", "/nowhere")]:
            sent = [ASK, TESTER, ("x-test-by", by), carried(f"v1~{NOW}~3~48280")]
            response = await ask(envoy.port(), "shop", sent, path)
            seen[by] = response.status
            assert decision(response) == f'app="shop", {CASES["a pin"][2]}', by
            assert response.all("x-app-version") == [] and response.all("set-cookie") == [], by
            assert decision(await ask(envoy.port(), "shop", [ASK, ("x-test-by", by)], path)) is None
        assert seen == {"none": 503, "down": 503, "direct": 503, "": 404}

    asyncio.run(run())


def test_an_ejected_version_is_named(binary, start):
    envoy, upstream = started(binary, start)

    async def run() -> list[str | None]:
        pin = ("cookie", f"pinion-watched=v2~{int(time.time())}~0~7")
        return [decision(await ask(envoy.port(), "watched", [pin, ASK, TESTER])) for _ in range(ERRORS + 1)]

    upstream.fail(503)
    rest = "slot=7, override=unconfigured, inbound=stripped, rule=unconfigured, key=unconfigured, pin=held"
    before = f'app="watched", version="v2", reason=pin, {rest}'
    after = f'app="watched", version="v1", reason=fallback, {rest}, ejected="v2"'
    assert asyncio.run(run()) == [before] * ERRORS + [after]


def test_no_byte_of_a_client_or_an_upstream_enters_the_explanation(binary, start):
    envoy, _ = started(binary, start)
    evil = 'evil", version="evil'
    names = ["x-version-override", "x-app-version", "end-user", "x-user-id", "x-evil", "x-pinion-decision", "origin"]
    told = ("x-test-answer", '[["x-pinion-decision", "evil"], ["x-app-version", "evil"]]')
    cookies = ("cookie", f"pinion-shop={evil}; session=; evil=evil; pinion-shop=evil~{NOW}~3~5")

    async def run() -> None:
        sent = [*((name, evil) for name in names), told, cookies]
        asks = [("x-pinion-explain", evil), TESTER]
        for where in ("shop", "shop/split?evil=evil", "evil.org/evil", "bare/evil%22"):
            response = await ask(envoy.port(), where, [*sent, *asks])
            assert response.status == 200
            # decision() checks this, and that there is only one line.
            assert decision(response).startswith("app=none" if "org" in where else f'app="{where[:4]}"'), where
        # A client that does not ask gets the upstream's header unchanged.
        assert (await ask(envoy.port(), "shop", sent)).all("x-pinion-decision") == ["evil"]

    asyncio.run(run())
