"""The filter accepts all configurations of the documentation, and Envoy all bootstraps."""

import hashlib
import json
import re
import subprocess
from collections import Counter

import pytest
import yaml

from harness import bootstrap as make
from harness.envoy import MODULE, ROOT, Envoy, EnvoyFailed, load, walk

BOOTSTRAPS = sorted(path for path in (ROOT / "envoy").glob("*.yaml") if not path.name.endswith(".pinion.yaml"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


MANIFESTS = sorted((ROOT / "wasmplugin").rglob("*.yaml"))


def shown() -> dict[str, str]:
    """The configurations of the README, the docs, `envoy/` and `wasmplugin/`, by place."""
    found = {}
    for path in sorted((ROOT / "envoy").glob("*.yaml")):
        values = []
        walk(load(path), lambda node: values.append(node) if "StringValue" in str(node.get("@type")) else None)
        for i, node in enumerate(values):
            found[f"{path.name} {i}"] = node["value"]
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text()):
            if document.get("kind") == "WasmPlugin":
                found[str(path.relative_to(ROOT))] = json.dumps(document["spec"]["pluginConfig"])
    for page in PAGES:
        for i, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)):
            for document in yaml.safe_load_all(block):
                if isinstance(document, dict) and document.get("kind") == "WasmPlugin":
                    document = document["spec"]["pluginConfig"]
                if isinstance(document, dict) and document.keys() & {"apps", "stamp", "mirror"}:
                    found[f"{page.name} block {i}"] = json.dumps(document)
    return found


def test_every_documented_configuration_is_accepted(binary, start):
    configs = shown()
    expected = {
        "README.md": 2,
        "configuration.md": 2,
        "frontend.md": 9,
        "wasmplugin/base/workload/plugin.yaml": 1,
        "mirroring.yaml": 3,
        "canary.pinion.yaml": 1,
    }
    seen = Counter(name.split(" ")[0] for name in configs)
    assert {name: seen[name] for name in expected} == expected, configs.keys()
    for name, config in configs.items():
        listener = make.listener("edge", [make.pinion(config)], [make.to("none")])
        try:
            start(Envoy(make.bootstrap([listener], [make.cluster("none", None)]), binary=binary))
        except EnvoyFailed as failed:
            pytest.fail(f"{name} is refused: {re.findall('configuration refused: .*', str(failed))}")


@pytest.mark.parametrize("path", BOOTSTRAPS, ids=lambda path: path.name)
def test_every_bootstrap_is_valid(binary, path):
    command = [binary, "--mode", "validate", "--config-path", path]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


def test_a_refused_first_configuration_keeps_envoy_from_starting_and_lists_all_errors(binary, start):
    config = {"apps": [{"name": "Shop", "versions": [{"name": "v1", "weight": -1}]}]}
    listener = make.listener("edge", [make.pinion(config)], [make.to("none")])
    with pytest.raises(EnvoyFailed) as failed:
        start(Envoy(make.bootstrap([listener], [make.cluster("none", None)]), binary=binary))
    said = re.findall("configuration refused: (.*)", str(failed.value))
    assert said == [
        'apps[0].name: must be 1 to 63 small letters, digits or inner hyphens, is "Shop"',
        "apps[0].versions[0].weight: must be 0 to 100, is -1",
    ]


def test_manifests_are_rendered_with_url_and_checksum():
    url = "https://example.com/pinion.wasm"
    subprocess.run(["make", "manifests", f"URL={url}"], cwd=ROOT, check=True, capture_output=True)
    plugins = [
        document
        for path in (ROOT / "dist" / "wasmplugin").rglob("*.yaml")
        for document in yaml.safe_load_all(path.read_text())
        if document.get("kind") == "WasmPlugin" and "url" in document["spec"]
    ]
    checksum = hashlib.sha256(MODULE.read_bytes()).hexdigest()
    assert [(plugin["spec"]["url"], plugin["spec"]["sha256"]) for plugin in plugins] == [(url, checksum)] * 3
    assert {plugin["spec"]["failStrategy"] for plugin in plugins} == {"FAIL_RELOAD"}


def test_manifests_of_an_image_need_its_digest():
    said = subprocess.run(["make", "manifests", "URL=oci://a/b:1"], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode != 0
    assert "an image needs its digest: give SHA256=" in said.stderr
