"""All metrics and labels of the dashboard and the alerts exist in a real mesh."""

import asyncio
import json
import re
import subprocess
import time
from pathlib import Path

import yaml

from harness.client import Response
from harness.envoy import ROOT, TOOLS
from harness.seals import sealed
from istiod import until
from mesh import KEY, Mesh, served

FOLDER = ROOT / "wasmplugin" / "observability"
TARGET = {"instance", "istio"}
"""The labels that Prometheus adds to scraped metrics."""


def alerts() -> dict:
    return yaml.safe_load((FOLDER / "alerts.yaml").read_text())


def panels() -> list[str]:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def queries() -> list[str]:
    lists = json.loads((FOLDER / "dashboard.json").read_text())["templating"]["list"]
    found = panels() + [each["query"]["query"] for each in lists if each["type"] == "query"]
    return found + [rule["expr"] for group in alerts()["groups"] for rule in group["rules"]]


def named(query: str) -> tuple[set[str], set[str], set[tuple[str, str]]]:
    """The metrics, labels and label values in a query."""
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


def test_prometheus_accepts_every_query():
    values = {"$__rate_interval": "5m", "$app": ".*"}
    plain = [each for each in queries() if "label_values" not in each]
    filled = [re.sub(r"\$\w+", lambda found: values[found[0]], each) for each in plain]
    check = TOOLS / "bin" / "promql-check"
    said = subprocess.run([check], input="\n".join(filled), capture_output=True, text=True)
    assert len(filled) > 10 and said.returncode == 0, said.stdout
    assert subprocess.run([check], input="sum by (a (b)", capture_output=True, text=True).returncode == 1


def test_alerts_fire_when_they_should():
    cases = Path(__file__).parent / "alerts.test.yaml"
    said = subprocess.run([TOOLS / "bin" / "promtool", "test", "rules", cases], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    # The rule tests make each alert fire.
    fired = set(re.findall(r'alertname="(\w+)"', cases.read_text()))
    assert fired == {rule["alert"] for group in alerts()["groups"] for rule in group["rules"]}


class Walk:
    """Steps on a mesh of `mirroring` that increase each counter."""

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        self.app = mesh.find("WasmPlugin", "pinion-edge")["spec"]["pluginConfig"]["apps"][0]
        self.app["rules"] = [{"match": [{"headers": {"end-user": {"exact": "tester"}}}], "version": "v2"}]
        self.app["outlierDetection"] = {"consecutiveGatewayErrors": 3, "baseEjectionTime": "1s"}
        self.app["pin"] = {"build": {"query": "dpl"}}

    async def ask(self, *headers: tuple[str, str], path: str = "/mirroring") -> Response:
        return await self.mesh.ask(path, headers=headers, host="mirroring.example.com")

    async def tester(self, path: str = "/mirroring") -> Response:
        return await self.ask(("end-user", "tester"), path=path)

    def counted(self, name: str) -> bool:
        return name in self.mesh.gateway.admin("/stats/prometheus")

    async def version_is_ejected(self) -> None:
        """v2 fails for its testers until the gateway ejects it."""
        self.mesh.apply()

        async def ejected() -> bool:
            await self.tester("/status/503")
            return self.counted("pinion_ejections_total")

        await until(ejected, self.mesh.gateway.log)

    async def route_lags(self) -> None:
        """The decision is v2, but v1 serves."""
        service = self.mesh.find("VirtualService", "mirroring")["spec"]
        service["http"] = [each for each in service["http"] if each["name"] != "v2"]
        self.mesh.apply()

        async def lags() -> bool:
            return served(await self.tester()) == "mirroring-v1" and self.counted("pinion_version_mismatch_total")

        await until(lags, self.mesh.gateway.log)

    async def pins_do_not_hold(self) -> None:
        pin = f"v1~{int(time.time())}~0~1"
        for key, key_id in [(b"another key", "k1"), (KEY.encode(), "k9")]:
            await self.ask(("cookie", f"pinion-mirroring={sealed('pin', key, key_id, 'mirroring', pin)}"))

    async def pins_are_withheld(self) -> None:
        await self.ask(("x-test-answer", json.dumps([["cache-control", "s-maxage=60"]])))

    async def build_is_unknown(self) -> None:
        await self.ask(path="/mirroring?dpl=dpl_9")

    async def too_many_cookies(self) -> None:
        await self.ask(("cookie", "; ".join(f"c{i}=1" for i in range(600))))

    async def configuration_is_refused(self) -> None:
        self.app["stable"] = "purple"
        self.mesh.apply()

        async def refused() -> bool:
            return 'pilot_total_xds_rejects{type="ecds"}' in self.mesh.istiod.metrics()

        await until(refused, self.mesh.istiod.log)

    async def whole(self) -> None:
        await self.version_is_ejected()
        await self.route_lags()
        await self.pins_do_not_hold()
        await self.pins_are_withheld()
        await self.build_is_unknown()
        await self.too_many_cookies()
        await self.configuration_is_refused()


def test_every_metric_and_label_is_in_a_real_scrape(mesh):
    running = mesh("mirroring")
    asyncio.run(Walk(running).whole())
    pages = [each.admin("/stats/prometheus") for each in [running.gateway, *running.sidecars.values()]]
    metrics, labels, pairs = scraped(*pages, running.istiod.metrics())
    for query in queries():
        wanted = named(query)
        assert wanted[0], query
        assert wanted[0] <= metrics, (query, wanted[0] - metrics)
        assert wanted[1] <= labels | TARGET, (query, wanted[1] - labels)
        assert {pair for pair in wanted[2] if pair[0] not in TARGET} <= pairs, (query, wanted[2])
    # Conversely, docs/operations.md and the dashboard name every metric of the filter.
    ours = {name for name in metrics if name.startswith("pinion_")}
    assert ours == set(re.findall(r"^\| `(pinion_\w+)` ", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE))
    assert ours <= {name for query in panels() for name in named(query)[0]}
