"""The budget of each scenario, from tests/cost/budget.json."""

from __future__ import annotations

import json
from pathlib import Path

from harness.envoy import MODULE

from . import NOW, exchange, host
from .scenarios import all_of, apps

FILE = Path(__file__).with_name("budget.json")

Figures = dict[str, dict[str, int]]


def measured(module: Path = MODULE) -> Figures:
    """The present costs of all scenarios."""
    figures: Figures = {}
    for scenario in all_of(NOW):
        _, seen = exchange(module, scenario)
        calls = [call for call in seen.calls if not call.words[0].startswith("(")]
        figures[scenario.name] = {"hostCalls": len(calls), "instructions": seen.instructions}
    for count in (1, 1000):
        vm = host(module, apps(count))
        figures[f"taking a configuration of {count:,} app{'s'[: count > 1]}"] = {"instructions": vm.configuring}
    return figures


def read() -> tuple[float, Figures]:
    """The slack in percent, and the figures."""
    budget = json.loads(FILE.read_text())
    return budget["slackPercent"], budget["figures"]


def write(figures: Figures) -> None:
    """Writes the figures as the budget."""
    rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(each)}" for name, each in figures.items())
    FILE.write_text(f'{{\n  "slackPercent": {read()[0]:g},\n  "figures": {{\n{rows}\n  }}\n}}\n')


def broken(slack: float, allowed: Figures, found: Figures) -> list[str]:
    """The figures outside the budget. A lower figure counts too, so that the budget follows each improvement."""
    wrong = [f"{name}: is not in both the budget and the scenarios" for name in allowed.keys() ^ found.keys()]
    for name in allowed.keys() & found.keys():
        for unit in allowed[name].keys() | found[name].keys():
            actual, budget = found[name].get(unit, 0), allowed[name].get(unit, 0)
            tolerance = budget * slack / 100 if unit == "instructions" else 0
            if abs(actual - budget) > tolerance:
                wrong.append(f"{name}: {actual:,} {unit}, the budget is {budget:,}")
    return sorted(wrong)
