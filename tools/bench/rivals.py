"""The proxies that are compared."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

from cost.scenarios import HOST
from harness import bootstrap as make
from harness.envoy import MODULE, TOOLS, walk

MODULES = TOOLS / "bench"
FLOOR, NOTHING = (MODULES / f"{name}.wasm" for name in ("floor", "nothing"))

VERSIONS = ("v1", "v2")
RING = "-by-hash"
"""The suffix of a cluster that is balanced by hash."""


@dataclasses.dataclass(frozen=True)
class Proxy:
    """A listener of an Envoy: its filters and routes."""

    filters: tuple[dict, ...] = ()
    module: Path = MODULE
    routes: tuple[dict, ...] = (make.to("v2", x_app_version="v2"), make.to("v1"))
    workers: int = 1

    def listener(self, name: str) -> dict:
        """The listener. It has its own VMs, and Envoy balances its connections exactly over the workers."""
        listener = make.listener(name, copy.deepcopy(list(self.filters)), list(self.routes))
        listener["connection_balance_config"] = {"exact_balance": {}}
        walk(listener, lambda node: node.update(vm_id=name) if "runtime" in node else None)
        walk(listener, lambda node: node.update(filename=str(self.module)) if "filename" in node else None)
        return listener


def bootstrap(proxies: dict[str, Proxy], origin: int) -> dict:
    """The bootstrap of an Envoy with these proxies. The same origin serves every version."""
    balanced = (("", "ROUND_ROBIN"), (RING, "RING_HASH"))
    clusters = [make.cluster(v + end, origin, lb_policy=policy) for v in VERSIONS for end, policy in balanced]
    return make.bootstrap([proxy.listener(name) for name, proxy in proxies.items()], clusters)


def origin() -> dict:
    """The bootstrap of the origin. Its response names the requested version."""
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
    """Sets one header on each request and one on each response."""

    def put(value: str) -> list[dict]:
        action = "OVERWRITE_IF_EXISTS_OR_ADD"
        return [{"append": {"header": {"key": "x-app-version", "value": value}, "append_action": action}}]

    mutations = {"request_mutations": put("v1"), "response_mutations": put("1.0")}
    return _native("mutation", "header_mutation.v3.HeaderMutation", mutations=mutations)


def weighted_clusters() -> Proxy:
    """Envoy's own way: the hash of a cookie selects the cluster.

    This selection gives no cookie to a new client. The hash-based load balancer behind it does, so the first request
    of a client may reach any version.
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
