"""The proxies that are compared: each a bootstrap, and what it does with a pinned client's request."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

from cost import BUSY, exchange
from cost.scenarios import HOST, Asked, Scenario
from harness import bootstrap as make
from harness.envoy import MODULE, TOOLS, walk

MODULES = TOOLS / "bench"
FLOOR, NOTHING, REPLAY = (MODULES / f"{name}.wasm" for name in ("floor", "nothing", "replay"))

VERSIONS = ("v1", "v2")
RING = "-by-hash"
"""At the end of a cluster's name: it is the same, balanced by hash."""


@dataclasses.dataclass(frozen=True)
class Proxy:
    """What a listener of an Envoy does: its filters, or routes of its own."""

    filters: tuple[dict, ...] = ()
    module: Path = MODULE
    routes: tuple[dict, ...] = (make.to("v2", x_app_version="v2"), make.to("v1"))
    workers: int = 1

    def listener(self, name: str) -> dict:
        """Each has VMs of its own, and as many connections on each worker."""
        listener = make.listener(name, copy.deepcopy(list(self.filters)), list(self.routes))
        listener["connection_balance_config"] = {"exact_balance": {}}
        walk(listener, lambda node: node.update(vm_id=name) if "runtime" in node else None)
        walk(listener, lambda node: node.update(filename=str(self.module)) if "filename" in node else None)
        return listener


def bootstrap(proxies: dict[str, Proxy], origin: int) -> dict:
    """An Envoy of these proxies. Every version is served by the same origin."""
    balanced = (("", "ROUND_ROBIN"), (RING, "RING_HASH"))
    clusters = [make.cluster(v + end, origin, lb_policy=policy) for v in VERSIONS for end, policy in balanced]
    return make.bootstrap([proxy.listener(name) for name, proxy in proxies.items()], clusters)


def origin() -> dict:
    """What answers: it tells which version it was asked for."""
    answer = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200},
        "response_headers_to_add": [{"header": {"key": "x-asked-for", "value": "%REQ(x-app-version)%"}}],
    }
    return make.bootstrap([make.listener("origin", [], [answer])], [])


def _native(name: str, kind: str, **config: Any) -> Proxy:
    typed = {"@type": f"{make.TYPE}.extensions.filters.http.{kind}", **config}
    return Proxy((({"name": name, "typed_config": typed}),))


def no_filter(workers: int = 1) -> Proxy:
    return Proxy(workers=workers)


def header_mutation() -> Proxy:
    """A header on the request and one on the response, of every request."""

    def put(value: str) -> list[dict]:
        action = "OVERWRITE_IF_EXISTS_OR_ADD"
        return [{"append": {"header": {"key": "x-app-version", "value": value}, "append_action": action}}]

    mutations = {"request_mutations": put("v1"), "response_mutations": put("1.0")}
    return _native("mutation", "header_mutation.v3.HeaderMutation", mutations=mutations)


def weighted_clusters() -> Proxy:
    """Envoy's own: the hash of a cookie chooses the cluster.

    The choice does not give the cookie to who has none; a balancer by hash does, behind it. A client's first request
    so goes anywhere.
    """

    def stamped(version: str, weight: int, label: str) -> dict:
        header = {"header": {"key": "x-app-version", "value": label}}
        return {"name": version + RING, "weight": weight, "response_headers_to_add": [header]}

    weighted = {"clusters": [stamped("v1", 90, "1.0"), stamped("v2", 10, "2.0")], "use_hash_policy": True}
    cookie = {"cookie": {"name": "pinion-shop", "ttl": "86400s", "path": "/"}}
    host = {"name": ":authority", "string_match": {"exact": HOST}}
    tester = make.to("v2" + RING, end_user="tester") | {
        "response_headers_to_add": [{"header": {"key": "x-app-version", "value": "2.0"}}]
    }
    split = {
        "match": {"prefix": "/", "headers": [host]},
        "route": {"weighted_clusters": weighted, "hash_policy": [cookie]},
    }
    return Proxy(routes=(tester, split, make.to("v1" + RING)))


def lua() -> Proxy:
    script = Path(__file__).with_name("pin.lua").read_text()
    return _native("lua", "lua.v3.Lua", default_source_code={"inline_string": script})


def nothing() -> Proxy:
    return Proxy((make.pinion(""),), NOTHING)


def floor() -> Proxy:
    return Proxy((make.pinion(""),), FLOOR)


def pinion(config: dict, workers: int = 1) -> Proxy:
    return Proxy((make.pinion(config),), workers=workers)


def own_calls(config: dict, asked: Asked, now: int) -> Proxy:
    """A busy filter's own host calls for this request, as it makes them now, without what it thinks in between."""
    _, seen = exchange(MODULE, Scenario("", config, asked), now, before=BUSY)
    lines = ["\t".join(call.said) for call in seen.calls if call.said != ("(end)",)]
    return Proxy((make.pinion("".join(f"{line}\n" for line in lines)),), REPLAY)
