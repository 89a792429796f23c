"""Dashboard and alerts name nothing that a real mesh does not have."""

import asyncio
import json
import re
import subprocess
import time

import yaml

from harness.envoy import ROOT, TOOLS
from harness.seals import sealed
from istiod import until
from mesh import KEY, served

FOLDER = ROOT / "wasmplugin" / "observability"
TARGET = {"instance", "istio"}
"""The labels that Prometheus itself gives to what it scrapes."""


def queries() -> list[str]:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    found += [each["query"]["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return found + [rule["expr"] for group in groups for rule in group["rules"]]


def named(query: str) -> tuple[set[str], set[str], set[tuple[str, str]]]:
    """The metrics, the labels, and the values of labels that a query names."""
    metrics = set(re.findall(r"\b(?:pinion|envoy|pilot|istio)_\w+", query))
    labels = {each for group in re.findall(r"\b(?:by|on|ignoring) \(([^)]*)\)", query) for each in group.split(", ")}
    labels |= set(re.findall(r"label_values\(\w+, (\w+)\)", query))
    matchers = re.findall(r'(\w+)(=~?)"([^"]*)"', query)
    labels |= {name for name, _, _ in matchers}
    return metrics, labels, {(name, text) for name, how, text in matchers if how == "="}


def scraped(*pages: str) -> tuple[set[str], set[str], set[tuple[str, str]]]:
    lines = [line for page in pages for line in page.splitlines() if line and not line.startswith("#")]
    pairs = {pair for line in lines for pair in re.findall(r'(\w+)="([^"]*)"', line)}
    return {re.match(r"\w+", line)[0] for line in lines}, {name for name, _ in pairs}, pairs


def test_prometheus_takes_every_query():
    values = {"$__rate_interval": "5m", "$app": ".*"}
    plain = [each for each in queries() if "label_values" not in each]
    filled = [re.sub(r"\$\w+", lambda found: values[found[0]], each) for each in plain]
    check = TOOLS / "bin" / "promql-check"
    said = subprocess.run([check], input="\n".join(filled), capture_output=True, text=True)
    assert len(filled) > 10 and said.returncode == 0, said.stdout
    assert subprocess.run([check], input="sum by (a (b)", capture_output=True, text=True).returncode == 1


def test_every_metric_and_label_is_in_a_real_scrape(mesh):
    running = mesh("mirroring")
    how = {"host": "mirroring.example.com"}
    config = running.find("WasmPlugin", "pinion-edge")["spec"]["pluginConfig"]
    app = config["apps"][0]
    # A VirtualService that lags: v2 is decided, and v1 serves.
    app["rules"] = [{"match": [{"headers": {"end-user": {"exact": "tester"}}}], "version": "v2"}]
    service = running.find("VirtualService", "mirroring")["spec"]
    service["http"] = [each for each in service["http"] if each["name"] != "v2"]
    running.apply()
    pin = f"v1~{int(time.time())}~0~1"
    pins = [sealed("pin", b"another key", "k1", "mirroring", pin), sealed("pin", KEY.encode(), "k9", "mirroring", pin)]

    async def walk() -> None:
        async def lags() -> bool:
            response = await running.ask("/mirroring", headers=[("end-user", "tester")], **how)
            return served(response) == "mirroring-v1" and "pinion_version_mismatch_total" in scrape()

        await until(lags, running.gateway.log)
        for each in pins:
            await running.ask("/mirroring", headers=[("cookie", f"pinion-mirroring={each}")], **how)
        app["stable"] = "purple"
        running.apply()
        await until(refused, running.istiod.log)

    def scrape() -> str:
        return running.gateway.admin("/stats/prometheus")

    async def refused() -> bool:
        return 'pilot_total_xds_rejects{type="ecds"}' in running.istiod.metrics()

    asyncio.run(walk())
    pages = [scrape(), running.istiod.metrics()]
    pages += [sidecar.admin("/stats/prometheus") for sidecar in running.sidecars.values()]
    metrics, labels, pairs = scraped(*pages)
    for query in queries():
        wanted = named(query)
        assert wanted[0], query
        assert wanted[0] <= metrics, (query, wanted[0] - metrics)
        assert wanted[1] <= labels | TARGET, (query, wanted[1] - labels)
        assert {pair for pair in wanted[2] if pair[0] not in TARGET} <= pairs, (query, wanted[2])
    # The other way round: nothing that the filter counts is left out.
    ours = {name for name in metrics if name.startswith("pinion_")}
    assert ours <= {name for query in queries() for name in named(query)[0]}
