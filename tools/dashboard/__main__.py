"""Runs a rollout under the real istiod and a real Prometheus, and draws the dashboard: `make dashboard`.

The answers of Prometheus are stored in .run/dashboard.json. `--again` draws them without another run.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "tests" / "istio"))

from harness.envoy import NEWEST, ROOT, installed  # noqa: E402
from mesh import Mesh  # noqa: E402

from . import picture  # noqa: E402
from .panels import Panel, Series, queried  # noqa: E402
from .prometheus import SCRAPE, Prometheus  # noqa: E402
from .rollout import SECONDS, WARM, Rollout  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "dashboard.svg"
STORED = ROOT / ".run" / "dashboard.json"

ALERTS = {"PinionConfigurationRefused", "PinionVersionEjected"}
"""The alerts that must fire. The other alerts need a condition that lasts longer than in this rollout."""


def run() -> dict:
    """The data of each panel, the events of the rollout with their times, and the alerts that fired."""
    with Mesh("website", installed(NEWEST), beside="mirroring") as mesh, Prometheus(mesh) as prometheus:
        rollout = Rollout(mesh)
        start = time.time() + WARM
        events: list[tuple[int, str]] = []

        def report(at: int, what: str) -> None:
            events.append((at, what))
            print(f"{at:4} s  {what}", flush=True)

        asyncio.run(rollout.run(report))
        # Wait for the last scrape.
        time.sleep(SCRAPE)
        panels = queried(prometheus, start, start + SECONDS)
        fired = prometheus.range('count by (alertname) (ALERTS{alertstate="firing"})', start, start + SECONDS)
    for error in rollout.lost[:5]:
        print(f"a request was lost: {error!r}", file=sys.stderr)
    print(f"{mesh.requests} requests, {len(rollout.lost)} of them lost")
    return {
        "panels": [dataclasses.asdict(panel) for panel in panels],
        "events": events[:-1],
        "fired": sorted(labels["alertname"] for labels, _ in fired),
    }


def read(stored: dict) -> Panel:
    series = [
        Series(each["legend"], {float(at): value for at, value in each["values"].items()}, each["dashed"])
        for each in stored["series"]
    ]
    return Panel(**{**stored, "series": series})


def main() -> int:
    if "--again" not in sys.argv:
        STORED.parent.mkdir(exist_ok=True)
        STORED.write_text(json.dumps(run()))
    stored = json.loads(STORED.read_text())
    panels = [read(each) for each in stored["panels"]]
    if empty := [each.title for each in panels if not each.series]:
        print(f"no data: {', '.join(empty)}", file=sys.stderr)
        return 1
    picture.draw(panels, SECONDS, stored["events"], PICTURE)
    print(f"alerts that fired: {', '.join(stored['fired'])}")
    if missed := ALERTS - set(stored["fired"]):
        print(f"did not fire: {', '.join(missed)}", file=sys.stderr)
        return 1
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1024} KiB")
    return 0


sys.exit(main())
