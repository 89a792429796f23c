"""Measures, compares and writes docs/performance.md with its pictures: `make bench`.

With fewer ROUNDS than usual all goes to .run/bench instead: a quick try is nothing to keep.
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
"""In each turn, if there is the time."""

DOCS = ROOT / "docs"
TRIES = ROOT / ".run" / "bench"


def tell(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def check(cell: Cell, answer: dict[str, str]) -> None:
    if said := plan.wrong(cell, answer):
        raise RuntimeError(f"a proxy does not do what it is measured for: {said}")


def main() -> int:
    rounds = int(os.environ.get("ROUNDS") or ROUNDS)
    kept = DOCS if rounds >= ROUNDS else TRIES
    # What else the machine does widens every figure: a reader is told.
    busy = os.getloadavg()[0]
    TRIES.mkdir(parents=True, exist_ok=True)
    now = int(time.time())
    tell("starts: memory, and the time that they take")
    standing = memory.measure(now)
    tell("requests")
    times = measure(plan.plan(now), rounds, check, tell)
    (TRIES / "rounds.json").write_text(json.dumps(times))
    found = report.verdicts(times, standing)
    parts = {
        "about": report.about(times, busy),
        "added": report.added(times),
        "factors": report.factors(times),
        "budgets": report.budgets(found),
        "standing": report.standing(standing),
    }
    text = report.filled((DOCS / "performance.md").read_text(), parts)
    (kept / "performance.md").write_text(text)
    plots.draw(times, kept / "images")
    print("\n" + "\n\n".join(parts.values()))
    print(f"\nkept in {(kept / 'performance.md').relative_to(ROOT)}")
    return 0 if all(each[-1] for each in found) else 1


sys.exit(main())
