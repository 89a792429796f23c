"""A mesh of one overlay: istiod, the Envoys that it configures, and their apps."""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack
from pathlib import Path

import local
from app import Pod
from harness.bootstrap import TYPE
from harness.client import Browser, Response, gather
from harness.envoy import MODULE, Envoy
from istiod import VALUES, Istiod, listens, release, wait_until

KEY = "a key of the gateway's own environment"


def bootstrap(kind: str, name: str, namespace: str, labels: dict[str, str], discovery: int) -> dict:
    """The parts of the Istio agent's bootstrap that matter for the tests: the node, ADS and the stats."""
    tags = [{"tag_name": tag, "regex": rf"({tag}=\.=(.*?);\.;)"} for tag in VALUES["defaultConfig"]["extraStatTags"]]
    prefixes = ["reporter=", "component", "istio", "cluster_manager", "listener_manager", "server", "wasm"]
    source = {"resource_api_version": "V3", "ads": {}}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": discovery}}
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {
        "@type": f"{TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "node": {
            # The address must differ from those of endpoints, because istiod identifies pods by their addresses.
            "id": f"{kind}~192.0.2.1~{name}.{namespace}~{namespace}.svc.cluster.local",
            "cluster": f"{name}.{namespace}",
            "metadata": {
                "NAME": name,
                "NAMESPACE": namespace,
                "LABELS": labels,
                "CLUSTER_ID": "Kubernetes",
                "ISTIO_VERSION": release(),
                "INTERCEPTION_MODE": "NONE",
            },
        },
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "stats_config": {
            "use_all_default_tags": False,
            "stats_tags": tags,
            "stats_matcher": {"inclusion_list": {"patterns": [{"prefix": prefix} for prefix in prefixes]}},
        },
        "dynamic_resources": {
            "lds_config": source,
            "cds_config": source,
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds-grpc",
                    "connect_timeout": "5s",
                    "typed_extension_protocol_options": {options: http2},
                    "load_assignment": {
                        "cluster_name": "xds-grpc",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                    },
                }
            ]
        },
    }


class Mesh:
    """A running overlay of `wasmplugin/`: istiod, the ingress gateway, and all pods with their sidecars.

    `beside` is another overlay on the same gateway. `calls` maps apps to the services that they call.
    """

    def __init__(self, name: str, binary: Path, *, beside: str | None = None, calls: dict[str, str] | None = None):
        self.documents = local.overlay(name)
        if beside:
            self.documents = local.both(self.documents, local.overlay(beside))
        self.istiod = Istiod()
        self.cluster = local.Cluster(self.documents, calls or {})
        self.binary = binary
        self.port = self.cluster.gateway_port
        self.requests = 0
        self.apps: dict[str, Pod] = {}
        self.sidecars: dict[str, Envoy] = {}
        self.stack = ExitStack()

    def __enter__(self) -> Mesh:
        try:
            self._start()
        except BaseException:
            self.stack.close()
            raise
        return self

    def _start(self) -> None:
        for pod in self.cluster.pods:
            called = (pod.address, self.cluster.ports[pod.calls], pod.calls) if pod.calls else None
            app = self.stack.enter_context(Pod(pod.name, called))
            pod.app_port, self.apps[pod.name] = app.port, app
        self.stack.enter_context(self.istiod)
        self.apply()
        # Up to Envoy 1.37 a running proxy may crash when it gets its first Wasm filter (docs/operations.md).
        log = self.istiod.log
        wait_until(lambda: "XDS: Pushing Services" in log(), lambda: f"nothing was read:\n{log()}")
        self.replace_gateway()
        for pod in self.cluster.pods:
            node = bootstrap("sidecar", pod.name, pod.namespace, pod.labels, self.istiod.port)
            self.sidecars[pod.name] = self._envoy(node)
        wait_until(
            lambda: all(listens(port) for port in [self.port, *(pod.port for pod in self.cluster.pods)]),
            lambda: f"the proxies do not listen:\n{self.istiod.log()}",
        )
        # A proxy that connects while istiod still reads may get a route before its cluster.
        wait_until(self._reaches_each_pod, lambda: f"the gateway lacks endpoints:\n{self.gateway.admin('/clusters')}")

    def _reaches_each_pod(self) -> bool:
        clusters = self.gateway.admin("/clusters")
        return all(
            re.search(rf"^outbound\|.*\|{pod.labels['version']}\|.*::127.0.0.1:{pod.port}::", clusters, re.MULTILINE)
            for pod in self.cluster.pods
        )

    def replace_gateway(self, **environment: str) -> Envoy:
        """Starts a new pod of the ingress gateway. The old one must have ended."""
        os.environ.pop("PINION_KEY_2", None)
        os.environ.update({"PINION_KEY": KEY, **environment})
        config = bootstrap("router", "gateway", "istio-system", {"istio": "ingressgateway"}, self.istiod.port)
        self.gateway = self._envoy(config, concurrency=2)
        return self.gateway

    def _envoy(self, config: dict, **how) -> Envoy:
        return self.stack.enter_context(Envoy(config, binary=self.binary, **how))

    def apply(self, documents: list[dict] | None = None, module: Path = MODULE) -> None:
        """Replaces the manifests of istiod."""
        self.istiod.apply(self.cluster.render(self.documents if documents is None else documents, module))

    def logs(self) -> dict[str, str]:
        envoys = {"gateway": getattr(self, "gateway", None), **self.sidecars}
        return {"istiod": self.istiod.log(), **{name: envoy.log() for name, envoy in envoys.items() if envoy}}

    def find(self, kind: str, name: str) -> dict:
        return local.find(self.documents, kind, name)

    def __exit__(self, *_) -> None:
        self.stack.close()

    async def ask(self, path: str = "/", **how) -> Response:
        """Sends one request of a new client."""
        browser = self.browser()
        try:
            return await browser.request(path, **how)
        finally:
            await browser.close()

    def browser(self) -> Browser:
        """A client that keeps its cookies, and whose requests are counted."""
        return Counted(self)

    async def visits(self, clients: int, times: int, path: str = "/", **how) -> list[list[str]]:
        """The pods that served each of some returning clients."""

        async def one() -> list[str]:
            browser = self.browser()
            try:
                return [served(await browser.request(path, **how)) for _ in range(times)]
            finally:
                await browser.close()

        return await gather(one() for _ in range(clients))


class Counted(Browser):
    def __init__(self, mesh: Mesh):
        super().__init__(mesh.port)
        self.mesh = mesh

    async def request(self, path: str = "/", **how) -> Response:
        self.mesh.requests += 1
        return await super().request(path, **how)


def served(response: Response) -> str:
    """The pod that served, by its response."""
    assert response.status == 200, f"status {response.status}: {response.body!r}"
    return response.echo().version


def flips(visits: list[list[str]]) -> int:
    """The number of requests whose version differs from the client's previous request."""
    return sum(before != after for seen in visits for before, after in zip(seen, seen[1:]))


def per_1000(visits: list[list[str]]) -> int:
    return round(1000 * flips(visits) / len(visits))


def about(share: float, seen: int, count: int) -> bool:
    """Whether a random draw gives this number: within six standard deviations of the expected one."""
    return abs(seen - share * count) <= 6 * (count * share * (1 - share)) ** 0.5


def plugins(envoy: Envoy) -> dict[str, dict]:
    """The WasmPlugins that a proxy got over ECDS: the filter's configuration by name."""
    dump = json.loads(envoy.admin("/config_dump?resource=ecds_filters"))
    found = [each["ecds_filter"] for each in dump.get("configs", [])]
    return {each["name"]: each["typed_config"]["config"] for each in found}
