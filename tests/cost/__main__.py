"""Prints the instructions up to each host call; with --write, writes the present costs as the budget.

PYTHONPATH=tests .tools/venv/bin/python -m cost [--write] [MODULE]
"""

import sys
from pathlib import Path

from harness.envoy import MODULE

from . import NOW, budget, exchange
from .scenarios import all_of

rest = [each for each in sys.argv[1:] if each != "--write"]
module = Path(rest[0]) if rest else MODULE
if "--write" in sys.argv:
    budget.write(budget.measured(module))
    print(f"{budget.FILE.name}: written, with the present costs of {module.name}")
else:
    for scenario in all_of(NOW):
        _, seen = exchange(module, scenario)
        print(f"\n{scenario.name}: {seen.instructions:,} instructions; before each call:")
        for call in seen.calls:
            print(f"{call.instructions:>8,}  {' '.join(call.words)[:100]}")
