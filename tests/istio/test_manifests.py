"""All manifests pass the checks of Istio."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

import local
from harness.envoy import ROOT, TOOLS

OVERLAYS = sorted(path.parent.name for path in (ROOT / "wasmplugin").glob("*/kustomization.yaml"))
CURRENT = {
    "networking.istio.io/v1",
    "networking.istio.io/v1alpha3",  # EnvoyFilter has no later one
    "extensions.istio.io/v1alpha1",
    "telemetry.istio.io/v1",
    "security.istio.io/v1",
    "apps/v1",
    "v1",
}
IMAGE = "oci://example.com/pinion:0.1.0"


@pytest.fixture(scope="session")
def rendered(tmp_path_factory) -> Path:
    """The output of `make manifests` for an image."""
    copy = tmp_path_factory.mktemp("manifests")
    environment = {**os.environ, "URL": IMAGE, "SHA256": "0" * 64}
    subprocess.run(["make", "manifests"], cwd=ROOT, env=environment, check=True, capture_output=True)
    for name in OVERLAYS:
        build = [TOOLS / "bin" / "kustomize", "build", ROOT / "dist" / "wasmplugin" / name]
        (copy / f"{name}.yaml").write_text(subprocess.run(build, check=True, capture_output=True, text=True).stdout)
    return copy


def istioctl(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([TOOLS / "bin" / "istioctl", *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_passes_istioctl(rendered, name):
    path = rendered / f"{name}.yaml"
    validated = istioctl("validate", "-f", path)
    assert validated.returncode == 0, validated.stderr
    warnings = re.findall(r"^\s+\* (.*)", validated.stdout + validated.stderr, re.MULTILINE)
    # istioctl warns of every EnvoyFilter that it depends on internals.
    assert all(each.startswith("EnvoyFilter/") for each in warnings), warnings
    analyzed = istioctl("analyze", "--use-kube=false", "--failure-threshold", "Info", path)
    assert analyzed.returncode == 0, analyzed.stdout + analyzed.stderr


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_complete_current_and_in_the_safe_order(rendered, name):
    documents = list(yaml.safe_load_all((rendered / f"{name}.yaml").read_text()))
    assert {each["apiVersion"] for each in documents} <= CURRENT
    steps = [each["metadata"]["labels"]["step"] for each in documents]
    assert steps == sorted(steps, key=["app", "routing", "plugins"].index)
    kinds = [each["kind"] for each in documents]
    assert kinds.index("DestinationRule") < kinds.index("VirtualService") < kinds.index("WasmPlugin")
    for plugin in (each["spec"] for each in documents if each["kind"] == "WasmPlugin"):
        assert (plugin["url"], plugin["sha256"]) == (IMAGE, "0" * 64)
        assert plugin["failStrategy"] == "FAIL_RELOAD"
    edge = local.find(documents, "WasmPlugin", "pinion-edge")["spec"]
    env = [(each["name"], each["valueFrom"]) for each in edge["vmConfig"]["env"]]
    assert env == [("PINION_KEY", "HOST"), ("PINION_KEY_2", "HOST")]
    [app] = edge["pluginConfig"]["apps"]
    names = {each["name"] for each in app["versions"]}
    subsets = local.find(documents, "DestinationRule", app["name"])["spec"]["subsets"]
    assert {each["name"] for each in subsets} == names
    # Each version except the stable one has a route. The last route of a path is the stable one's, without a header.
    routes = local.find(documents, "VirtualService", app["name"])["spec"]["http"]
    wanted = [
        match["headers"]["x-app-version"]["exact"]
        for each in routes
        for match in each.get("match", [])
        if "headers" in match
    ]
    assert sorted(wanted) == sorted(names - {app["stable"]})
    assert routes[-1]["route"][0]["destination"]["subset"] == app["stable"]


def test_the_checks_can_fail(rendered, tmp_path):
    text = (rendered / "blue-green.yaml").read_text()
    for name, change in [("subset", ("subset: green", "subset: gren")), ("field", ("subsets:", "subsetz:"))]:
        path = tmp_path / f"{name}.yaml"
        assert change[0] in text
        path.write_text(text.replace(*change))
        checked = [istioctl("validate", "-f", path), istioctl("analyze", "--use-kube=false", path)]
        assert any(each.returncode for each in checked), name
