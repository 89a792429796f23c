"""The manifests of `wasmplugin/` for one machine without Kubernetes.

WasmPlugin, VirtualService, DestinationRule, EnvoyFilter and Telemetry go to istiod unchanged, except for addresses. Only
these parts are replaced:

- The `url` of a WasmPlugin becomes the built module, and `sha256` its checksum.
- The port of a Gateway becomes a free port of 127.0.0.1.
- The `jwksUri` of a RequestAuthentication becomes an inline key of the tests.
- A Service becomes a ServiceEntry whose endpoints are the sidecars of the Deployments that it selects, on 127.0.0.1.
- A Deployment becomes a process of `app`, with a sidecar whose listeners a Sidecar resource binds to 127.0.0.1. Nothing
  redirects connections, so an app sends its calls to its sidecar: to the service's port, at a loopback address that no
  other pod has.
- ConfigMaps are left out.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import yaml

from harness.bootstrap import JWT_KEY
from harness.envoy import MODULE, ROOT, TOOLS, free_port

PLAIN = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "default", "namespace": "istio-system"},
    "spec": {"mtls": {"mode": "DISABLE"}},
}
"""The proxies have no certificates."""


def overlay(name: str) -> list[dict]:
    """The resources that `kubectl apply -k wasmplugin/NAME` applies."""
    said = subprocess.run(
        [TOOLS / "bin" / "kustomize", "build", ROOT / "wasmplugin" / name], capture_output=True, text=True, check=True
    )
    return [document for document in yaml.safe_load_all(said.stdout) if document]


def both(documents: list[dict], others: list[dict]) -> list[dict]:
    """Two overlays behind one gateway. Shared resources are there once, and the edge plugin has the apps of both."""

    def name(document: dict) -> tuple[str, str, str]:
        return document["kind"], document["metadata"]["namespace"], document["metadata"]["name"]

    apps = [find(each, "WasmPlugin", "pinion-edge")["spec"]["pluginConfig"]["apps"] for each in (documents, others)]
    apps[0].extend(apps[1])
    known = {name(each) for each in documents}
    return documents + [each for each in others if name(each) not in known]


def find(documents: list[dict], kind: str, name: str) -> dict:
    """The resource of a kind and name. It is not a copy, so a change of it changes the documents."""
    found = [each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)} of them"
    return found[0]


@dataclasses.dataclass
class Pod:
    """One replica of a Deployment."""

    name: str
    namespace: str
    labels: dict[str, str]
    port: int
    """The port at which the sidecar listens for the app."""
    calls: str | None
    """The service that the app calls."""
    address: str
    """The address at which the sidecar listens for calls of that service."""
    app_port: int = 0


class Cluster:
    """The pods and ports, which stay the same while the manifests change."""

    def __init__(self, documents: list[dict], calls: dict[str, str]):
        self.gateway_port = free_port()
        services = [each for each in documents if each["kind"] == "Service"]
        self.ports = {each["metadata"]["name"]: each["spec"]["ports"][0]["port"] for each in services}
        self.pods = [pod(each, calls) for each in documents if each["kind"] == "Deployment"]

    def render(self, documents: list[dict], module: Path = MODULE) -> list[dict]:
        """The resources for istiod."""
        self.module = module
        rendered = [PLAIN]
        for document in copy.deepcopy(documents):
            if document["kind"] in ("Deployment", "ConfigMap"):
                continue
            if change := getattr(self, f"_{document['kind'].lower()}", None):
                document = change(document)
            rendered.append(document)
        return rendered + [self._sidecar(pod) for pod in self.pods]

    def _wasmplugin(self, document: dict) -> dict:
        spec = document["spec"]
        assert (spec["url"], spec["sha256"]) == ("PINION_URL", "PINION_SHA256")
        spec.update(url=f"file://{self.module}", sha256=hashlib.sha256(self.module.read_bytes()).hexdigest())
        return document

    def _gateway(self, document: dict) -> dict:
        for server in document["spec"]["servers"]:
            server["port"]["number"] = self.gateway_port
            server["bind"] = "127.0.0.1"
        return document

    def _requestauthentication(self, document: dict) -> dict:
        encoded = base64.urlsafe_b64encode(JWT_KEY).decode().rstrip("=")
        for rule in document["spec"]["jwtRules"]:
            del rule["jwksUri"]
            rule["jwks"] = json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "k": encoded}]})
        return document

    def _service(self, document: dict) -> dict:
        name, namespace = document["metadata"]["name"], document["metadata"]["namespace"]
        [port] = document["spec"]["ports"]
        selector = document["spec"]["selector"]
        chosen = [pod for pod in self.pods if selector.items() <= pod.labels.items()]
        assert chosen, f"Service {name} selects nothing"
        return istio(
            "networking.istio.io/v1", "ServiceEntry", name, namespace,
            hosts=[f"{name}.{namespace}.svc.cluster.local"],
            location="MESH_INTERNAL",
            resolution="STATIC",
            ports=[{"name": port["name"], "number": port["port"], "protocol": "HTTP"}],
            endpoints=[
                {"address": "127.0.0.1", "labels": pod.labels, "ports": {port["name"]: pod.port}} for pod in chosen
            ],
        )  # fmt: skip

    def _sidecar(self, pod: Pod) -> dict:
        egress: dict[str, Any] = {"hosts": ["~/*"]}
        if pod.calls:
            port = {"number": self.ports[pod.calls], "protocol": "HTTP", "name": "http"}
            egress = {"hosts": ["./*"], "port": port, "bind": pod.address, "captureMode": "NONE"}
        return istio(
            "networking.istio.io/v1", "Sidecar", pod.name, pod.namespace,
            workloadSelector={"labels": pod.labels},
            ingress=[
                {
                    "port": {"number": pod.port, "protocol": "HTTP", "name": "http"},
                    "defaultEndpoint": f"127.0.0.1:{pod.app_port}",
                    "bind": "127.0.0.1",
                    "captureMode": "NONE",
                }
            ],
            egress=[egress],
        )  # fmt: skip


def pod(deployment: dict, calls: dict[str, str]) -> Pod:
    name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    return Pod(name, namespace, labels, free_port(), calls.get(labels["app"]), loopback())


def loopback() -> str:
    """A loopback address that no other process is likely to use, for ports that cannot be chosen."""
    return f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"


def istio(version: str, kind: str, name: str, namespace: str, **spec: Any) -> dict:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
