"""The real istiod over a folder of manifests, with the Envoys that it configures and the apps behind them."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import yaml

import local
from app import Pod
from harness.bootstrap import TYPE
from harness.client import Browser, Response, gather
from harness.envoy import ROOT, TOOLS, Envoy, EnvoyFailed, free_port

WAIT_SECONDS = 90
"""How long istiod and a proxy may take to follow, on a busy machine."""

KEY = "a key of the gateway's own environment"
VALUES = yaml.safe_load((ROOT / "wasmplugin" / "mesh.values.yaml").read_text())["meshConfig"]


@functools.cache
def release() -> str:
    """The version of Istio that is run."""
    said = subprocess.run(
        [TOOLS / "bin" / "istioctl", "version", "--remote=false", "--output", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(said.stdout)["clientVersion"]["version"]


class Istiod:
    """pilot-discovery with a folder in place of Kubernetes, ended with the block.

    The folder is empty at first: of services that are there before it listens for changes, it may never hear.
    """

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="pinion-istiod-"))
        self.port, self.monitoring = free_port(), free_port()
        self.config = self.home / "config"
        self.config.mkdir()
        self.log_file = self.home / "istiod.log"
        self.final_log = ""
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Istiod:
        # Its own defaults for logs and metrics would ask for filters that only Istio's build of Envoy has.
        mesh = {**VALUES, "enableAutoMtls": False, "defaultProviders": {}}
        (self.home / "mesh.yaml").write_text(yaml.safe_dump(mesh))
        addresses = {"grpc": self.port, "http": free_port(), "monitoring": self.monitoring}
        command = [
            TOOLS / "bin" / "pilot-discovery", "discovery", "--registries=", f"--configDir={self.config}",
            f"--meshConfig={self.home / 'mesh.yaml'}", "--httpsAddr=", "--secureGRPCAddr=",
            f"--ctrlz_port={free_port()}",
            *(f"--{name}Addr=127.0.0.1:{port}" for name, port in addresses.items()),
        ]  # fmt: skip
        environment = {
            **os.environ,
            "PILOT_ENABLE_METADATA_EXCHANGE": "false",
            "PILOT_ENABLE_ALPN_FILTER": "false",
            "ENABLE_CA_SERVER": "false",
        }
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.home, env=environment)
        try:
            # It listens once its caches are filled. /ready waits for webhooks, which only Kubernetes would call.
            wait_until(lambda: listens(self.port), lambda: f"istiod is not there:\n{self.log()}", alive=self.process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def apply(self, documents: Iterable[dict]) -> None:
        """Replaces all that it serves, by moving a file into the folder that it watches."""
        fresh = self.home / "all.new"
        fresh.write_text(yaml.safe_dump_all(documents))
        fresh.rename(self.config / "all.yaml")

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitoring}/metrics", timeout=10) as response:
            return response.read().decode()

    def log(self) -> str:
        said = self.log_file.read_text(errors="replace") if self.log_file.exists() else self.final_log
        # Without its settings, which it lists first.
        return said[max(0, said.find("initializing mesh networks")) :]

    def __exit__(self, *_) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.final_log = self.log()
        shutil.rmtree(self.home, ignore_errors=True)


async def until(done: Callable[[], Awaitable[object]], otherwise: Callable[[], str]) -> None:
    """Waits until something is so."""
    end = time.monotonic() + WAIT_SECONDS
    while not await done():
        if time.monotonic() > end:
            raise EnvoyFailed(otherwise())
        await asyncio.sleep(0.05)


def wait_until(
    done: Callable[[], object], otherwise: Callable[[], str], *, alive: subprocess.Popen | None = None
) -> None:
    """Waits until something is so; nothing is said about how long that takes."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end and (alive is None or alive.poll() is None):
        try:
            if done():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise EnvoyFailed(otherwise())


def bootstrap(kind: str, name: str, namespace: str, labels: dict[str, str], discovery: int) -> dict:
    """A bootstrap as Istio's agent writes it, in what matters here: the node, ADS, and which stats there are."""
    tags = [{"tag_name": tag, "regex": rf"({tag}=\.=(.*?);\.;)"} for tag in VALUES["defaultConfig"]["extraStatTags"]]
    prefixes = ["reporter=", "component", "istio", "cluster_manager", "listener_manager", "server", "wasm"]
    source = {"resource_api_version": "V3", "ads": {}}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": discovery}}
    http2 = {
        "@type": f"{TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "node": {
            # An address that no endpoint has: istiod would take each pod for the first one of that address.
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
                    "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
                    "load_assignment": {
                        "cluster_name": "xds-grpc",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                    },
                }
            ]
        },
    }


class Mesh:
    """An overlay of `wasmplugin/`, running: istiod, the ingress gateway, and each pod with its sidecar.

    `calls` says which app calls which service, if any does.
    """

    def __init__(self, name: str, binary: Path, *, calls: dict[str, str] | None = None):
        self.documents = local.overlay(name)
        self.istiod = Istiod()
        self.cluster = local.Cluster(self.documents, calls or {})
        self.binary = binary
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
            app = self.stack.enter_context(Pod(pod.name, (pod.address, self.cluster.ports[pod.calls], pod.calls) if pod.calls else None))
            pod.app_port, self.apps[pod.name] = app.port, app
        self.stack.enter_context(self.istiod)
        self.apply()
        # Up to Envoy 1.37 a proxy may crash when its first Wasm filter comes after it has started (docs/operations.md).
        wait_until(lambda: "XDS: Pushing Services" in self.istiod.log(), lambda: f"nothing was read:\n{self.istiod.log()}")
        gateway = bootstrap("router", "gateway", "istio-system", {"istio": "ingressgateway"}, self.istiod.port)
        os.environ["PINION_KEY"] = KEY
        self.gateway = self._envoy(gateway, concurrency=2)
        for pod in self.cluster.pods:
            node = bootstrap("sidecar", pod.name, pod.namespace, pod.labels, self.istiod.port)
            self.sidecars[pod.name] = self._envoy(node)
        self.port = self.cluster.gateway_port
        wait_until(
            lambda: all(listens(port) for port in [self.port, *(pod.port for pod in self.cluster.pods)]),
            lambda: f"the proxies do not listen:\n{self.istiod.log()}",
        )
        # A proxy that is served while istiod still reads may know a route before its cluster.
        wait_until(self._reaches_each_pod, lambda: f"the gateway lacks endpoints:\n{self.gateway.admin('/clusters')}")

    def _reaches_each_pod(self) -> bool:
        clusters = self.gateway.admin("/clusters")
        return all(
            re.search(rf"^outbound\|.*\|{pod.labels['version']}\|.*::127.0.0.1:{pod.port}::", clusters, re.MULTILINE)
            for pod in self.cluster.pods
        )

    def _envoy(self, config: dict, **how) -> Envoy:
        return self.stack.enter_context(Envoy(config, binary=self.binary, **how))

    def apply(self, documents: list[dict] | None = None) -> None:
        """Gives istiod these manifests in place of the ones before."""
        self.istiod.apply(self.cluster.render(self.documents if documents is None else documents))

    def logs(self) -> dict[str, str]:
        envoys = {"gateway": getattr(self, "gateway", None), **self.sidecars}
        return {"istiod": self.istiod.log(), **{name: envoy.log() for name, envoy in envoys.items() if envoy}}

    def find(self, kind: str, name: str) -> dict:
        return local.find(self.documents, kind, name)

    def __exit__(self, *_) -> None:
        self.stack.close()

    async def ask(self, path: str = "/", **how) -> Response:
        """One request by a client that nobody has seen before."""
        browser = self.browser()
        try:
            return await browser.request(path, **how)
        finally:
            await browser.close()

    def browser(self) -> Browser:
        """A client that returns with the cookies it was given, and whose requests are counted."""
        return Counted(self)

    async def visits(self, clients: int, times: int, path: str = "/", **how) -> list[list[str]]:
        """Which pods served each of some clients that return."""

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
    """Which pod answered, by its own word."""
    assert response.status == 200, f"status {response.status}: {response.body!r}"
    return response.echo().version


def flips(visits: list[list[str]]) -> int:
    """How often a client was served by another version than the time before."""
    return sum(before != after for seen in visits for before, after in zip(seen, seen[1:]))


def per_1000(visits: list[list[str]]) -> int:
    return round(1000 * flips(visits) / len(visits))


def about(share: float, seen: int, count: int) -> bool:
    """Whether a fair draw gives that: the share of the count, six standard deviations wide."""
    return abs(seen - share * count) <= 6 * (count * share * (1 - share)) ** 0.5


def listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def plugins(envoy: Envoy) -> dict[str, dict]:
    """The WasmPlugins that a proxy was given over ECDS: name to the filter's configuration."""
    dump = json.loads(envoy.admin("/config_dump?resource=ecds_filters"))
    found = [each["ecds_filter"] for each in dump.get("configs", [])]
    return {each["name"]: each["typed_config"]["config"] for each in found}
