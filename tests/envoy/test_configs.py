"""Every configuration that a user is shown is taken by the filter itself, and every bootstrap by Envoy."""

import json
import re
import subprocess

import pytest
import yaml

from harness import bootstrap as make
from harness.envoy import ROOT, Envoy, EnvoyFailed, load, walk

BOOTSTRAPS = sorted(path for path in (ROOT / "envoy").glob("*.yaml") if not path.name.endswith(".pinion.yaml"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown() -> dict[str, str]:
    """Each configuration of the README, the docs and `envoy/`, by where it stands."""
    found = {}
    for path in sorted((ROOT / "envoy").glob("*.yaml")):
        values = []
        walk(load(path), lambda node: values.append(node) if "StringValue" in str(node.get("@type")) else None)
        for i, node in enumerate(values):
            found[f"{path.name} {i}"] = node["value"]
    for page in PAGES:
        for i, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)):
            for document in yaml.safe_load_all(block):
                if isinstance(document, dict) and document.get("kind") == "WasmPlugin":
                    document = document["spec"]["pluginConfig"]
                if isinstance(document, dict) and document.keys() & {"apps", "stamp", "mirror"}:
                    found[f"{page.name} block {i}"] = json.dumps(document)
    return found


def test_every_configuration_shown_is_taken(binary, start):
    configs = shown()
    assert len(configs) >= 5, configs.keys()
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


def test_a_refused_first_configuration_keeps_envoy_from_starting_and_says_all_that_is_wrong(binary, start):
    config = {"apps": [{"name": "Shop", "versions": [{"name": "v1", "weight": -1}]}]}
    listener = make.listener("edge", [make.pinion(config)], [make.to("none")])
    with pytest.raises(EnvoyFailed) as failed:
        start(Envoy(make.bootstrap([listener], [make.cluster("none", None)]), binary=binary))
    said = re.findall("configuration refused: (.*)", str(failed.value))
    assert said == [
        'apps[0].name: must be 1 to 63 small letters, digits or inner hyphens, is "Shop"',
        "apps[0].versions[0].weight: must be 0 to 100, is -1",
    ]
