"""Metrics and access logs."""

import re

from rich import box
from rich.table import Table

from .mirroring import until
from .report import Scenario
from .stage import Stage, visit

NAME = "canary"
TITLE = "Metrics and access logs"
ABOUT = "The canary's metrics on /stats/prometheus, and its access log."
CURL: list[str] = []

CLIENTS, VISITS = 50, 4


async def run(stage: Stage, scenario: Scenario) -> None:
    scenario.progress(f"{CLIENTS} clients send {VISITS} requests each; one more has x-preview: 3, one a malformed pin")
    clients = stage.browsers(CLIENTS)
    await visit(clients, VISITS)
    await stage.ask(headers=[("x-preview", "3")])
    await stage.ask(headers=[("cookie", "pinion-website=broken")])
    metrics = stage.envoy.metrics()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ["metric", "app", "version", "reason or cause", "value"]:
        table.add_column(column, justify="right" if column == "value" else "left")
    for name, value in sorted(metrics.items()):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
        why = labels.get("pin_reason") or labels.get("pin_cause", "")
        table.add_row(name.split("{")[0], labels["pin_app"], labels.get("pin_version", ""), why, f"{value:.0f}")
    scenario.report.console.print(table)

    def total(reason: str) -> int:
        return int(sum(value for name, value in metrics.items() if f'pin_reason="{reason}"' in name))

    scenario.check("requests by draw", CLIENTS + 1, total("draw"))
    scenario.check("requests by pin", CLIENTS * (VISITS - 1), total("pin"))
    scenario.check("requests by rule", 1, total("rule"))
    shares = [int(value) for name, value in sorted(metrics.items()) if name.startswith("pinion_share_slots")]
    scenario.check("slots of version-1, -2 and -3", [90_000, 10_000, 0], shares)
    lines = re.compile(r"^GET .*app=website.*", re.MULTILINE)
    await until(lambda: len(lines.findall(stage.envoy.log())) >= CLIENTS * VISITS + 2)
    found = lines.findall(stage.envoy.log())
    for line in [found[0], *found[-3:]]:
        scenario.report.console.print(f"  [dim]{line}")
    scenario.check("access log lines with version and reason", CLIENTS * VISITS + 2,
                   len([line for line in found if re.search(r"version=version-\d reason=\w+ 200$", line)]))  # fmt: skip
    for client in clients:
        await client.close()
