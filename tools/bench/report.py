"""The tables of docs/performance.md, and their places in it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import time
from pathlib import Path

from harness import envoy
from harness.envoy import MODULE

from . import memory, plan
from .measure import CONNECTIONS, REQUESTS, Times

CONFIGURING_LIMIT = 50.0
"""Milliseconds."""


def about(times: Times, load: float) -> str:
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    machine = f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    turns = times[plan.PINNED]
    quieter = sum(map(bool, plan.quieter(times)[plan.PINNED]))
    digest = hashlib.sha256(MODULE.read_bytes()).hexdigest()[:12]
    return (
        f"{time.strftime('%Y-%m-%d')}, Envoy {envoy.NEWEST}, on {machine}. The module's checksum begins with "
        f"`{digest}`. {len(turns)} Envoys, {sum(map(len, turns))} rounds of {REQUESTS:,} requests over {CONNECTIONS} "
        f"connections; {quieter} of the Envoys have rounds in the quieter half. The machine's load average before it "
        f"began: {load:.1f}."
    )


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table whose first column is aligned left, the other columns right."""
    rule = ("---", *["---:"] * (len(head) - 1))
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _two(value: plan.Added) -> str:
    return f"{value.quieter:.1f} / {value.all:.1f}"


def added(times: Times) -> str:
    rows = [
        (row, *[_two(plan.added(times, (row, kind), (plan.NONE, kind))) for kind in plan.KINDS])
        for row in plan.ROWS[1:]
    ]
    whole = [plan.whole(times, (plan.NONE, kind)) for kind in plan.KINDS]
    bare = ("the proxy without a filter, in all", *map(_two, whole))
    return table(("µs of CPU time a request, quieter half / all", *plan.KINDS), [*rows, bare])


def factors(times: Times) -> str:
    rows = [
        (
            f"{factor.group}: {factor.name}",
            _two(plan.added(times, factor.cell, factor.base)),
            _two(plan.whole(times, factor.base)),
        )
        for factor in plan.FACTORS
    ]
    return table(("a pinned client", "added, µs", "without a filter, µs"), rows)


def verdicts(times: Times, standing: memory.Whole) -> list[tuple[str, str, str, str, bool]]:
    """For each budget: name, limit, value in the quieter half, value in all rounds, and whether it holds."""
    found = []
    for budget in plan.BUDGETS:
        ratio, error = plan.ratio(times, budget), plan.error(times, budget)
        quieter = f"{ratio.quieter:.2f} ± {error:.2f} ×"
        here = (f"≤ {budget.limit:g} ×", quieter, f"{ratio.all:.2f} ×", ratio.quieter <= budget.limit)
        found.append((budget.name, *here))
    taken = standing.configuring_ms
    limit = f"≤ {CONFIGURING_LIMIT:g} ms"
    found.append(("1,000 apps taken, each VM", limit, f"{taken:.0f} ms", "", taken <= CONFIGURING_LIMIT))
    return found


def budgets(found: list[tuple[str, str, str, str, bool]]) -> str:
    rows = [(*each[:4], "holds" if each[4] else "**does not hold**") for each in found]
    return table(("what it adds", "may be", "quieter half", "all rounds", ""), rows)


def standing(found: memory.Whole) -> str:
    rows = [
        (
            each.name,
            f"{each.start_ms:.0f}",
            f"{each.start_cpu_ms:.0f}",
            f"{each.first_mib:.1f}",
            f"{each.worker_mib:.1f}",
        )
        for each in found.standings
    ]
    head = ("what it adds to Envoy", "start, ms", "its CPU time, ms", "one worker, MiB", "each worker more, MiB")
    text = f"Taking 1,000 apps in place of one costs each VM {found.configuring_ms:.0f} ms of CPU time."
    return f"{table(head, rows)}\n\n{text}"


def filled(text: str, parts: dict[str, str]) -> str:
    """The document with each part between the comments that mark its place."""
    for name, part in parts.items():
        before, begin, rest = text.partition(f"<!-- measured: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not begin or not end:
            raise RuntimeError(f"the document has no place for {name!r}")
        text = f"{before}{begin}{part}\n{end}{after}"
    return text
