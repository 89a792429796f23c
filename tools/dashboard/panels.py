"""The panels of dashboard.json with the data of a Prometheus."""

from __future__ import annotations

import dataclasses
import json
import re

from harness.envoy import ROOT

from .prometheus import SCRAPE, Prometheus

DASHBOARD = ROOT / "wasmplugin" / "observability" / "dashboard.json"

VARIABLES = {"$__rate_interval": f"{4 * SCRAPE}s", "$app": ".*"}
"""Grafana's value for this scrape interval, and all apps."""


@dataclasses.dataclass(frozen=True)
class Series:
    legend: str
    values: dict[float, float]
    """The values by seconds since the start."""
    dashed: bool


@dataclasses.dataclass(frozen=True)
class Panel:
    title: str
    unit: str
    stacked: bool
    place: dict[str, int]
    """Grafana's grid: `x` and `w` of 24 columns, `y` and `h` of rows."""
    series: list[Series]


def queried(prometheus: Prometheus, start: float, stop: float) -> list[Panel]:
    return [_panel(each, prometheus, start, stop) for each in json.loads(DASHBOARD.read_text())["panels"]]


def _panel(source: dict, prometheus: Prometheus, start: float, stop: float) -> Panel:
    series = []
    dashed = {
        each["matcher"]["options"]
        for each in source["fieldConfig"]["overrides"]
        if any(property["id"] == "custom.lineStyle" for property in each["properties"])
    }
    for target in source["targets"]:
        query = re.sub(r"\$\w+", lambda found: VARIABLES[found[0]], target["expr"])
        found = [
            Series(
                re.sub(r"\{\{(\w+)\}\}", lambda label, labels=labels: labels.get(label[1], ""), target["legendFormat"]),
                {at - start: value for at, value in values},
                target["refId"] in dashed,
            )
            for labels, values in prometheus.range(query, start, stop)
        ]
        series += sorted(found, key=lambda each: each.legend)
    defaults = source["fieldConfig"]["defaults"]
    return Panel(
        source["title"],
        defaults["unit"],
        defaults["custom"]["stacking"]["mode"] == "normal",
        source["gridPos"],
        series,
    )
