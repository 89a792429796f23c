"""Builds the bootstraps of the tests as data."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

TYPE = "type.googleapis.com/envoy"

NODE = {
    "id": "sidecar~127.0.0.1~shop-v2.default~default.svc.cluster.local",
    "cluster": "shop-v2.default",
    "metadata": {"LABELS": {"app": "shop", "version": "v2", "odd": "é"}},
}
"""The node of the named cases."""

ENVIRONMENT = {
    "APP_VERSION": "2.0-SNAPSHOT",
    "EMPTY": "",
    "PINION_KEY": "the first key, which is long enough\n",
    "PINION_OLD_KEY": "the key before, which is long enough",
    "PINION_EVIL_KEY": "a key that nobody was told of, but us",
    "PINION_SHORT_KEY": "a key of thirty-one bytes only!\n",
}
"""The VM's environment in the named cases."""

KEYS = {"k1": "PINION_KEY", "k0": "PINION_OLD_KEY", "evil": "PINION_EVIL_KEY"}
"""The environment variables of the keys with which cases sign."""


ISSUER, JWT_KEY = "https://issuer.example.com", b"a key that nobody else knows, of 44 characters"
"""The issuer of JWTs and its key."""


def key(name: str) -> bytes:
    return ENVIRONMENT[KEYS[name]].strip().encode()


def wasm(config: Any, failure_policy: str = "FAIL_CLOSED") -> dict:
    """The filter's Wasm configuration. A string is used unchanged."""
    text = config if isinstance(config, str) else json.dumps(config)
    return {
        "@type": f"{TYPE}.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": "dist/pinion.wasm"}},
                "environment_variables": {"key_values": ENVIRONMENT},
            },
            "failure_policy": failure_policy,
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text},
        },
    }


def pinion(config: Any, failure_policy: str = "FAIL_CLOSED") -> dict:
    """The filter as an HTTP filter."""
    return {"name": "pinion", "typed_config": wasm(config, failure_policy)}


def discovered(path: Path) -> dict:
    """The filter with a configuration from a file. Envoy reads the file again when another one is moved over it."""
    source = {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}
    discovery = {"type_urls": [f"{TYPE}.extensions.filters.http.wasm.v3.Wasm"], "config_source": source}
    return {"name": "pinion", "config_discovery": discovery}


def resource(config: Any) -> dict:
    """The content of such a file."""
    kind = f"{TYPE[:-6]}/envoy.config.core.v3.TypedExtensionConfig"
    return {"resources": [{"@type": kind, "name": "pinion", "typed_config": wasm(config)}]}


def jwt_authn() -> dict:
    """The filter that verifies the issuer's JWTs. A request without a valid JWT passes without claims."""
    encoded = base64.urlsafe_b64encode(JWT_KEY).decode().rstrip("=")
    provider = {
        "issuer": ISSUER,
        "local_jwks": {"inline_string": json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "k": encoded}]})},
        "payload_in_metadata": "payload",
    }
    required = {"requires_any": {"requirements": [{"provider_name": "test"}, {"allow_missing_or_failed": {}}]}}
    config = {
        "@type": f"{TYPE}.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"test": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": required}],
    }
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": config}


HTTP2 = {
    "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
}
"""The options of a cluster that uses HTTP/2."""


def cluster(name: str, port: int | None, **more: Any) -> dict:
    """A cluster of one endpoint, or of none if the port is None."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [] if port is None else [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    assignment = {"cluster_name": name, "endpoints": endpoints}
    return {"name": name, "connect_timeout": "5s", "load_assignment": assignment, **more}


def listener(name: str, filters: list[dict], routes: list[dict], **manager: Any) -> dict:
    """A listener on a free port, with HTTP filters in front of the router."""
    router = {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"}
    connection_manager = {
        "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [*filters, {"name": "envoy.filters.http.router", "typed_config": router}],
        **manager,
    }
    chain = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connection_manager}]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return {"name": name, "address": address, "filter_chains": [{"filters": chain}]}


def to(cluster: str, **match: Any) -> dict:
    """A route to a cluster; `x_app_version="v2"` matches that header."""
    headers = [
        {"name": name.replace("_", "-"), "string_match": {"exact": value}} for name, value in match.items()
    ]
    return {"match": {"prefix": "/", "headers": headers}, "route": {"cluster": cluster}}


def bootstrap(listeners: list[dict], clusters: list[dict]) -> dict:
    tags = [
        {"tag_name": tag, "regex": rf"({tag}=\.=(.*?);\.;)"}
        for tag in ("pin_app", "pin_version", "pin_reason", "pin_cause", "pin_outcome")
    ]
    return {
        "node": copy.deepcopy(NODE),
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "stats_config": {"stats_tags": tags},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }
