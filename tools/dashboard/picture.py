"""Draws the panels in Grafana's layout."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator  # noqa: E402

from .panels import Panel  # noqa: E402

plt.rcParams.update({
    "svg.hashsalt": "pinion",
    # Text stays text.
    "svg.fonttype": "none",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#c7cbd1",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e9ebee",
    "xtick.color": "#5a6270",
    "ytick.color": "#5a6270",
    "axes.prop_cycle": plt.cycler(color=[
        "#56A64B", "#E0B400", "#3274D9", "#FF780A", "#E02F44", "#8F3BB8", "#1F9E9E", "#7A5C3E", "#6B7480", "#B5458F",
    ]),
})  # fmt: skip

WIDTH, ROW, GAP = 12.0, 0.33, 0.05
"""In inches: the width of the picture, the height of a row of Grafana's grid, and the gap around a panel."""
HEAD, LINE = 0.36, 0.19
LEFT, RIGHT, TITLE, TICKS, LEGEND = 0.66, 0.2, 0.38, 0.34, 0.175

UNITS = {
    "reqps": lambda value, _: f"{value:g} req/s",
    "percentunit": lambda value, _: f"{100 * value:.0f} %",
    "short": lambda value, _: f"{value:g}",
}


def draw(panels: list[Panel], seconds: int, events: list[tuple[int, str]], to: Path) -> None:
    """Writes the picture. The events are listed below the panels."""
    rows = max(each.place["y"] + each.place["h"] for each in panels)
    listed = "Events: " + " · ".join(f"{_clock(at)} {what}" for at, what in events)
    foot = [
        *textwrap.wrap(listed, 165),
        "Drawn from the answers of a real Prometheus to the dashboard's queries, in the dashboard's layout. "
        "This is not a screenshot of Grafana.",
    ]
    height = HEAD + rows * ROW + len(foot) * LINE + 0.15
    figure = plt.figure(figsize=(WIDTH, height), facecolor="#f3f4f6")
    figure.text(0.1 / WIDTH, 1 - 0.24 / height, "Pinion", fontsize=12, fontweight="bold")
    for panel in panels:
        _panel(figure, panel, seconds, height)
    for at, line in enumerate(foot):
        y = height - HEAD - rows * ROW - (at + 1) * LINE
        figure.text(0.1 / WIDTH, y / height, line, color="#3d4451", fontsize=8)
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to, metadata={"Date": None}, facecolor=figure.get_facecolor())
    plt.close(figure)
    # Matplotlib leaves blanks at the end of lines.
    to.write_text("".join(f"{line.rstrip()}\n" for line in to.read_text().splitlines()))


def _panel(figure: plt.Figure, panel: Panel, seconds: int, height: float) -> None:
    unit = WIDTH / 24
    left, wide = panel.place["x"] * unit + GAP, panel.place["w"] * unit - 2 * GAP
    high = panel.place["h"] * ROW - 2 * GAP
    bottom = height - HEAD - panel.place["y"] * ROW - GAP - high

    def at(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        return (left + x) / WIDTH, (bottom + y) / height, w / WIDTH, h / height

    x, y, w, h = at(0, 0, wide, high)
    card = Rectangle((x, y), w, h, transform=figure.transFigure, facecolor="white", edgecolor="#dfe2e6", zorder=-1)
    figure.add_artist(card)
    x, y, _, _ = at(0.12, high - 0.22, 0, 0)
    figure.text(x, y, panel.title, fontsize=9.5, fontweight="bold", color="#24292e")

    longest = max(len(each.legend) for each in panel.series)
    columns = max(1, min(len(panel.series), int((wide - 0.1) / (0.4 + 0.054 * longest))))
    under = TICKS + LEGEND * math.ceil(len(panel.series) / columns)
    axes = figure.add_axes(at(LEFT, under, wide - LEFT - RIGHT, high - under - TITLE), facecolor="none")
    _lines(axes, panel)
    axes.set_xlim(0, seconds)
    highest = max(axes.get_ylim()[1], 0)
    axes.set_ylim(0, highest if any(any(each.values.values()) for each in panel.series) else 1)
    axes.xaxis.set_major_locator(MultipleLocator(60))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _clock(value)))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], integer=panel.unit == "short"))
    axes.yaxis.set_major_formatter(FuncFormatter(UNITS[panel.unit]))
    axes.tick_params(length=0, labelsize=8, pad=5)
    axes.legend(
        loc="lower left", bbox_to_anchor=at(0.06, 0.02, 0, 0)[:2], bbox_transform=figure.transFigure, ncols=columns,
        frameon=False, fontsize=7.5, handlelength=1.4, handletextpad=0.5, columnspacing=1.2, borderpad=0.2,
        labelspacing=0.3, borderaxespad=0,
    )  # fmt: skip


def _lines(axes: plt.Axes, panel: Panel) -> None:
    if panel.stacked:
        times = sorted({at for each in panel.series for at in each.values})
        stacked = [[each.values.get(at, 0) for at in times] for each in panel.series]
        axes.stackplot(times, stacked, labels=[each.legend for each in panel.series], alpha=0.55, linewidth=0)
        return
    # As in Grafana, a missing point leaves a gap.
    times = sorted({at for each in panel.series for at in each.values})
    for each in panel.series:
        values = [each.values.get(at, math.nan) for at in times]
        axes.plot(
            times, values, label=each.legend, linewidth=1.3, linestyle="--" if each.dashed else "-", clip_on=False
        )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
