"""Runs a rollout under the real istiod, watched by a real Prometheus, and draws the dashboard: `make dashboard`.

What Prometheus said is kept in .run/dashboard.json, so that `--again` draws it again without another run.
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
from .panels import Panel, Series, asked  # noqa: E402
from .prometheus import SCRAPE, Prometheus  # noqa: E402
from .story import SECONDS, WARM, Story  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "dashboard.svg"
KEPT = ROOT / ".run" / "dashboard.json"

ALERTS = {"PinionConfigurationRefused", "PinionVersionEjected"}
"""What a real Prometheus must say of the story: those that need minutes of it do not fire."""


def run() -> dict:
    """What Prometheus says of each panel, what was done when, and which alerts fired."""
    with Mesh("website", installed(NEWEST), beside="mirroring") as mesh, Prometheus(mesh) as prometheus:
        story = Story(mesh)
        start = time.time() + WARM
        heard: list[tuple[int, str]] = []

        def hear(at: int, what: str) -> None:
            heard.append((at, what))
            print(f"{at:4} s  {what}", flush=True)

        asyncio.run(story.tell(hear))
        # The last scrape.
        time.sleep(SCRAPE)
        panels = asked(prometheus, start, start + SECONDS)
        fired = prometheus.range('count by (alertname) (ALERTS{alertstate="firing"})', start, start + SECONDS)
    for each in story.lost[:5]:
        print(f"a request was lost: {each!r}", file=sys.stderr)
    print(f"{mesh.requests} requests, {len(story.lost)} of them lost")
    return {
        "panels": [dataclasses.asdict(each) for each in panels],
        "heard": heard[:-1],
        "fired": sorted(labels["alertname"] for labels, _ in fired),
    }


def read(said: dict) -> Panel:
    series = [
        Series(each["legend"], {float(at): value for at, value in each["values"].items()}, each["dashed"])
        for each in said["series"]
    ]
    return Panel(**{**said, "series": series})


def main() -> int:
    if "--again" not in sys.argv:
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(run()))
    kept = json.loads(KEPT.read_text())
    panels = [read(each) for each in kept["panels"]]
    if empty := [each.title for each in panels if not each.series]:
        print(f"no data: {', '.join(empty)}", file=sys.stderr)
        return 1
    picture.draw(panels, SECONDS, kept["heard"], PICTURE)
    print(f"alerts that fired: {', '.join(kept['fired'])}")
    if missed := ALERTS - set(kept["fired"]):
        print(f"did not fire: {', '.join(missed)}", file=sys.stderr)
        return 1
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1024} KiB")
    return 0


sys.exit(main())
