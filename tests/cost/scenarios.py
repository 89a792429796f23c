"""The requests and configurations whose cost is measured, in the module alone and in an Envoy."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from harness import bootstrap as make
from harness.seals import sealed

HOST = "shop.example.com"

BROWSER = (
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
)
"""The headers of a browser's request for a page, without host and cookies."""

SESSION = "session=8f14e45fceea167a5a36dedd4bea2543"
"""The app's own cookie, which all requests have."""

NEW, PINNED, RULE, NOWHERE = "a new client", "a pinned client", "a rule hit", "no app"

KEYS = [{"id": "k1", "env": "PINION_KEY"}]


def app(**more: Any) -> dict:
    """An app scoped by host, with a canary and a rule."""
    return {
        "name": "shop",
        "hosts": [HOST],
        "versions": [{"name": "v1", "label": "1.0"}, {"name": "v2", "label": "2.0", "weight": 10}],
        "stable": "v1",
        "rules": [tester("tester")],
    } | more


def tester(name: str) -> dict:
    return {"match": [{"headers": {"end-user": {"exact": name}}}], "version": "v2"}


SIGNED = {"keys": KEYS, "apps": [app()]}
"""Pins are signed, and the app is scoped by host."""

UNSIGNED = {"apps": [app()]}


def whole(now: int) -> dict:
    """An app with all features on, and with a running ramp."""
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 3600))
    ramp = {"to": 50, "start": begun, "duration": "8760h"}
    testers = [{"headers": {"x-tester": {"exact": "yes"}}}]
    shop = app(
        versions=[{"name": "v1", "label": "1.0"}, {"name": "v2", "label": "2.0", "weight": 10, "ramp": ramp}],
        pin={"header": "x-version-pin", "query": "dpl", "key": [{"header": "x-user-id"}]},
        override={
            "header": "x-version-override",
            "query": "version-override",
            "cookie": "pinion-override",
            "allow": testers,
        },
        outlierDetection={"consecutiveGatewayErrors": 5},
    )
    explain = {"header": "x-pinion-explain", "allow": testers}
    return {"keys": KEYS, "accessLog": True, "explain": explain, "apps": [shop]}


def apps(count: int) -> dict:
    """A configuration of `count` apps. The shop is the last."""
    others = [app(name=f"app-{i}", hosts=[f"app-{i}.example.com"]) for i in range(count - 1)]
    return {"keys": KEYS, "apps": [*others, app()]}


def rules(count: int) -> dict:
    """A configuration of `count` rules that compare a header with an exact value. The requests match none."""
    return {"keys": KEYS, "apps": [app(rules=[tester(f"tester-{i}") for i in range(count)])]}


def regex() -> dict:
    rule = {"match": [{"headers": {"end-user": {"regex": "test(er)?-[0-9]+"}}}], "version": "v2"}
    return {"keys": KEYS, "apps": [app(rules=[rule])]}


@dataclasses.dataclass(frozen=True)
class Asked:
    """A request without the headers that depend on the connection."""

    host: str = HOST
    headers: tuple[tuple[str, str], ...] = BROWSER
    paths: tuple[str, ...] = ("/",)
    """All paths are requested equally often."""


def unsigned(now: int) -> str:
    """A pin issued at `now`. Its slot belongs to v1, the stable version."""
    return f"v1~{now}~0~99999"


def pin(now: int) -> str:
    """The same pin, signed."""
    return sealed("pin", make.key("k1"), "k1", "shop", unsigned(now))


def asked(now: int, pin: Callable[[int], str] = pin) -> dict[str, Asked]:
    """The four kinds of requests."""
    held = f"{SESSION}; pinion-shop={pin(now)}"
    return {
        PINNED: Asked(headers=(*BROWSER, ("cookie", held))),
        NEW: Asked(headers=(*BROWSER, ("cookie", SESSION))),
        RULE: Asked(headers=(*BROWSER, ("cookie", held), ("end-user", "tester"))),
        NOWHERE: Asked(host="other.example.com", headers=(*BROWSER, ("cookie", held))),
    }


BY_QUERY = {"keys": KEYS, "apps": [app(pin={"query": "dpl"})]}
"""Pins also travel in the query."""


def with_pins(now: int, count: int) -> Asked:
    """The requests of `count` clients, each pinned to v1 and with its pin in the query."""
    pins = [sealed("pin", make.key("k1"), "k1", "shop", f"v1~{now}~0~{99_999 - i}") for i in range(count)]
    return Asked(headers=(*BROWSER, ("cookie", SESSION)), paths=tuple(f"/?dpl={pin}" for pin in pins))


def by_nobody(now: int) -> Asked:
    """A pinned client with a header that the rules read and that no rule matches."""
    return Asked(headers=(*asked(now)[PINNED].headers, ("end-user", "nobody-of-them")))


def with_cookies(now: int, size: int) -> Asked:
    """A pinned client with other cookies of `size` bytes in all, 100 bytes each. The pin is the last cookie."""
    jar = [f"c{i:02}=" + "x" * 94 for i in range(size // 100)]
    held = "; ".join([*jar, f"pinion-shop={pin(now)}"])
    return Asked(headers=(*BROWSER, ("cookie", held)))


KINDS: dict[str, Callable[[int], dict]] = {
    "cookie": lambda i: {"cookies": {f"group-{i}": {"exact": "beta"}}},
    "queryParam": lambda i: {"queryParams": {f"group-{i}": {"exact": "beta"}}},
    "header": lambda i: {"headers": {f"x-group-{i}": {"prefix": "beta"}}},
    "claim": lambda i: {"claims": {"groups": {"exact": f"group-{i}"}}},
    "sourceIp": lambda i: {"sourceIps": [f"10.{i // 256}.{i % 256}.0/24"]},
    "host": lambda i: {"hosts": [f"group-{i}.example.com"]},
    "path": lambda i: {"paths": [f"/group-{i}"]},
    "method": lambda i: {"methods": [f"GROUP-{i}"]},
}
"""A match of each kind. No request satisfies any of them."""


MUCH = {"cookie", "queryParam", "header"}
"""Kinds whose requests are large, so that searching them would be expensive."""


def rules_of(kind: str, count: int) -> dict:
    """A configuration of `count` rules of one kind."""
    rules = [{"match": [KINDS[kind](i)], "version": "v2"} for i in range(count)]
    return {"keys": KEYS, "apps": [app(rules=rules)]}


def with_much(now: int) -> Asked:
    """A pinned client with nearly the most cookies that are read, 50 headers and 200 query parameters."""
    pinned = f"pinion-shop={pin(now)}"
    cookies = "; ".join([*(f"c{i:03}={'x' * 55}" for i in range(500)), pinned])
    headers = tuple((f"x-filler-{i}", "x" * 20) for i in range(50))
    query = "&".join(f"p{i}={'x' * 10}" for i in range(200))
    return Asked(headers=(*BROWSER, *headers, ("cookie", cookies)), paths=(f"/?{query}",))


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    config: dict
    asked: Asked


def all_of(now: int) -> list[Scenario]:
    """All scenarios of the module alone."""
    kinds = asked(now)
    named = [(name, SIGNED, kinds[name]) for name in (PINNED, NEW, RULE, NOWHERE)]
    named += [(f"{name}, unsigned", UNSIGNED, asked(now, unsigned)[name]) for name in (PINNED, NEW)]
    named += [(f"{name}, everything on", whole(now), kinds[name]) for name in (PINNED, NEW, RULE, NOWHERE)]
    named += [(f"{count:,} apps", apps(count), kinds[PINNED]) for count in (100, 1000)]
    named += [(f"{count} rule{'s'[: count > 1]}", rules(count), by_nobody(now)) for count in (1, 10, 100)]
    named += [("a regex rule", regex(), by_nobody(now))]
    named += [(f"{count:,} client{'s'[: count > 1]} by query", BY_QUERY, with_pins(now, count)) for count in (1, 4000)]
    named += [(f"cookies of {size:,} bytes", SIGNED, with_cookies(now, size)) for size in (100, 8192)]
    named += [
        (f"{count} {kind} rule{'s'[: count > 1]}", rules_of(kind, count), with_much(now) if kind in MUCH else kinds[PINNED])
        for kind in KINDS
        for count in (1, 500)
    ]
    return [Scenario(*each) for each in named]
