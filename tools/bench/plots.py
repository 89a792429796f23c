"""Draws the figures of the report."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

from . import plan  # noqa: E402
from .measure import Times  # noqa: E402

plt.rcParams.update({
    # The same figures give the same file.
    "svg.hashsalt": "pinion",
    # Text stays text.
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
})  # fmt: skip

GREY, DARK, BLUE = "#b8bec6", "#6b7480", "#2f6fb5"


def draw(times: Times, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _added(times, folder / "bench-added.svg")
    _factors(times, folder / "bench-factors.svg")


def _added(times: Times, to: Path) -> None:
    rows = plan.ROWS[1:]
    figure, axes = plt.subplots(1, len(plan.KINDS), figsize=(11, 3.2), sharex=True, sharey=True)
    for place, kind in zip(axes, plan.KINDS, strict=True):
        found = [plan.added(times, (row, kind), (plan.NONE, kind)) for row in rows]
        colours = [BLUE if row.startswith("pinion,") else GREY for row in rows]
        place.barh(rows, [max(each.quieter, 0) for each in found], color=colours)
        place.plot([each.all for each in found], rows, "|", color=DARK, markersize=9)
        place.set_title(kind, fontsize=10)
        place.tick_params(axis="y", length=0)
    axes[0].invert_yaxis()
    label = "µs of CPU time added to a request: medians of the quieter half of the rounds (bar) and of all (stroke)"
    figure.supxlabel(label, fontsize=10)
    _save(figure, to)


def _factors(times: Times, to: Path) -> None:
    groups = list(dict.fromkeys(factor.group for factor in plan.FACTORS))
    figure, axes = plt.subplots(1, len(groups), figsize=(11, 2.8), sharey=True)
    for place, group in zip(axes, groups, strict=True):
        members = [factor for factor in plan.FACTORS if factor.group == group]
        found = [plan.added(times, factor.cell, factor.base) for factor in members]
        names = [factor.name.replace(", ", "\n") for factor in members]
        place.bar(names, [each.quieter for each in found], color=BLUE, width=0.6)
        place.plot(names, [each.all for each in found], "_", color=DARK, markersize=12)
        place.set_title(group, fontsize=10)
        place.tick_params(axis="x", length=0)
    axes[0].set_ylabel("µs added")
    _save(figure, to)


def _save(figure: plt.Figure, to: Path) -> None:
    figure.tight_layout()
    figure.savefig(to, metadata={"Date": None})
    plt.close(figure)
    # Matplotlib leaves blanks at the end of lines.
    to.write_text("".join(f"{line.rstrip()}\n" for line in to.read_text().splitlines()))
