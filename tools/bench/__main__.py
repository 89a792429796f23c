"""Measures, compares, and writes docs/performance.md with its pictures: `make bench`.

With fewer ROUNDS than the default, the results go to .run/bench instead.
"""

from __future__ import annotations

import json
import os
import sys
import time

from harness.envoy import ROOT

from . import memory, plan, plots, report
from .measure import Cell, measure

ROUNDS = 60
"""Rounds in each turn, if the time limit allows."""

DOCS = ROOT / "docs"
TRIALS = ROOT / ".run" / "bench"


def log(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def check(cell: Cell, answer: dict[str, str]) -> None:
    if error := plan.wrong(cell, answer):
        raise RuntimeError(f"a proxy does not do what its measurement requires: {error}")


def main() -> int:
    rounds = int(os.environ.get("ROUNDS") or ROUNDS)
    folder = DOCS if rounds >= ROUNDS else TRIALS
    # Other load widens all figures, so the report names it.
    load = os.getloadavg()[0]
    TRIALS.mkdir(parents=True, exist_ok=True)
    now = int(time.time())
    log("measures memory and start times")
    standing = memory.measure(now)
    log("measures requests")
    times = measure(plan.plan(now), rounds, check, log)
    (TRIALS / "rounds.json").write_text(json.dumps(times))
    found = report.verdicts(times, standing)
    parts = {
        "about": report.about(times, load),
        "added": report.added(times),
        "factors": report.factors(times),
        "budgets": report.budgets(found),
        "standing": report.standing(standing),
    }
    text = report.filled((DOCS / "performance.md").read_text(), parts)
    (folder / "performance.md").write_text(text)
    plots.draw(times, folder / "images")
    print("\n" + "\n\n".join(parts.values()))
    print(f"\nwritten to {(folder / 'performance.md').relative_to(ROOT)}")
    return 0 if all(each[-1] for each in found) else 1


sys.exit(main())
