"""The budget: what each scenario may cost, as tests/cost/budget.json says."""

from __future__ import annotations

import json
from pathlib import Path

from harness.envoy import MODULE

from . import NOW, exchange, host
from .scenarios import all_of, apps

FILE = Path(__file__).with_name("budget.json")

Figures = dict[str, dict[str, int]]


def measured(module: Path = MODULE) -> Figures:
    """What everything costs now."""
    figures: Figures = {}
    for scenario in all_of(NOW):
        _, seen = exchange(module, scenario)
        calls = [call for call in seen.calls if not call.said[0].startswith("(")]
        figures[scenario.name] = {"hostCalls": len(calls), "instructions": seen.instructions}
    for count in (1, 1000):
        vm = host(module, apps(count))
        figures[f"taking a configuration of {count:,} app{'s'[: count > 1]}"] = {"instructions": vm.configuring}
    return figures


def read() -> tuple[float, Figures]:
    """The slack in per cent, and the figures."""
    budget = json.loads(FILE.read_text())
    return budget["slackPercent"], budget["figures"]


def write(figures: Figures) -> None:
    """Makes what was measured the budget."""
    rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(each)}" for name, each in figures.items())
    FILE.write_text(f'{{\n  "slackPercent": {read()[0]:g},\n  "figures": {{\n{rows}\n  }}\n}}\n')


def broken(slack: float, allowed: Figures, found: Figures) -> list[str]:
    """What costs more or less than it may. Less counts too: what was gained is to be held."""
    wrong = [f"{name}: only one of budget and scenarios has it" for name in allowed.keys() ^ found.keys()]
    for name in allowed.keys() & found.keys():
        for unit in allowed[name].keys() | found[name].keys():
            is_now, may_be = found[name].get(unit, 0), allowed[name].get(unit, 0)
            within = may_be * slack / 100 if unit == "instructions" else 0
            if abs(is_now - may_be) > within:
                wrong.append(f"{name}: {is_now:,} {unit}, where the budget has {may_be:,}")
    return sorted(wrong)
