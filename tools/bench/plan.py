"""What is measured and compared, and the budgets."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable

from cost import scenarios as of
from cost.scenarios import NEW, NOWHERE, PINNED, RULE

from . import rivals
from .measure import Cell, Plan, Round, Times

NONE = "no filter"
MUTATION = "header_mutation"
WEIGHTED = "weighted_clusters by a cookie's hash"
LUA = "Lua, unsigned pins"
NOTHING = "an SDK filter that does nothing"
FLOOR = "the floor"
PINION = "pinion, signed pins"
WHOLE = "pinion, everything on"

ROWS = (NONE, MUTATION, WEIGHTED, LUA, NOTHING, FLOOR, PINION, WHOLE)
KINDS = (PINNED, NEW, RULE, NOWHERE)

NOBODY = "a rule's header"
SMALL, LARGE = "cookies of 100 B", "cookies of 8 KiB"
ONE_PIN, MANY_PINS = "one pin by query", "4,000 pins by query"
TWO = "2 workers"


def plan(now: int) -> Plan:
    kinds = of.asked(now)
    proxies = {
        NONE: rivals.no_filter(),
        MUTATION: rivals.header_mutation(),
        WEIGHTED: rivals.weighted_clusters(),
        LUA: rivals.lua(),
        NOTHING: rivals.nothing(),
        FLOOR: rivals.floor(),
        PINION: rivals.pinion(of.SIGNED),
        WHOLE: rivals.pinion(of.whole(now)),
        **{f"{count:,} apps": rivals.pinion(of.apps(count)) for count in (100, 1000)},
        **{f"{count} rules": rivals.pinion(of.rules(count)) for count in (1, 10, 100)},
        "a regex": rivals.pinion(of.regex()),
        "by query": rivals.pinion(of.BY_QUERY),
        f"{NONE}, {TWO}": rivals.no_filter(2),
        f"{PINION}, {TWO}": rivals.pinion(of.SIGNED, 2),
    }
    requests = kinds | {
        NOBODY: of.by_nobody(now),
        SMALL: of.with_cookies(now, 100),
        LARGE: of.with_cookies(now, 8192),
        ONE_PIN: of.with_pins(now, 1),
        MANY_PINS: of.with_pins(now, 4000),
    }
    cells: list[Cell] = [(row, kind) for row in ROWS for kind in KINDS]
    cells += [each for factor in FACTORS for each in (factor.cell, factor.base) if each not in cells]
    return Plan(proxies, requests, list(dict.fromkeys(cells)))


@dataclasses.dataclass(frozen=True)
class Factor:
    """One varied property of the configuration or the request."""

    group: str
    name: str
    cell: Cell
    base: Cell


NO_APPS = (NONE, PINNED)
NO_RULES = (NONE, NOBODY)

FACTORS = (
    Factor("apps", "1", (PINION, PINNED), NO_APPS),
    Factor("apps", "100", ("100 apps", PINNED), NO_APPS),
    Factor("apps", "1,000", ("1,000 apps", PINNED), NO_APPS),
    Factor("rules", "1", ("1 rules", NOBODY), NO_RULES),
    Factor("rules", "10", ("10 rules", NOBODY), NO_RULES),
    Factor("rules", "100", ("100 rules", NOBODY), NO_RULES),
    Factor("rules", "1, a regex", ("a regex", NOBODY), NO_RULES),
    Factor("cookies", "100 B", (PINION, SMALL), (NONE, SMALL)),
    Factor("cookies", "8 KiB", (PINION, LARGE), (NONE, LARGE)),
    Factor("clients", "1", ("by query", ONE_PIN), (NONE, ONE_PIN)),
    Factor("clients", "4,000", ("by query", MANY_PINS), (NONE, MANY_PINS)),
    Factor("workers", "1", (PINION, PINNED), NO_APPS),
    Factor("workers", "2", (f"{PINION}, {TWO}", PINNED), (f"{NONE}, {TWO}", PINNED)),
)


@dataclasses.dataclass(frozen=True)
class Budget:
    """The highest ratio of what `cell` adds to what `than` adds."""

    name: str
    limit: float
    cell: Cell
    than: Cell
    base: Cell
    than_base: Cell


def _row(name: str, limit: float, kind: str, row: str) -> Budget:
    base = (NONE, kind)
    return Budget(name, limit, (PINION, kind), (row, kind), base, base)


def _factor(name: str, limit: float, group: str, more: str, less: str) -> Budget:
    found = {factor.name: factor for factor in FACTORS if factor.group == group}
    return Budget(name, limit, found[more].cell, found[less].cell, found[more].base, found[less].base)


BUDGETS = (
    _row("a pinned client, to the floor", 1.4, PINNED, FLOOR),
    _row("a pinned client, to Lua", 1.0, PINNED, LUA),
    _row("a new client, to the floor", 1.7, NEW, FLOOR),
    _factor("1,000 apps, to one", 1.1, "apps", "1,000", "1"),
    _factor("100 rules, to one", 1.3, "rules", "100", "1"),
    _factor("8 KiB of cookies, to 100 B", 1.5, "cookies", "8 KiB", "100 B"),
    _row("no app, to an SDK filter that does nothing", 1.6, NOWHERE, NOTHING),
)


@dataclasses.dataclass(frozen=True)
class Added:
    """Microseconds for a request, or a ratio: the medians of the quieter half of the rounds, and of all rounds."""

    quieter: float
    all: float


def quieter(times: Times) -> Times:
    """The half of the rounds in which all proxies together took the least time, over all kinds of requests."""
    took = {
        (turn, i): sum(sum(times[kind][turn][i].values()) for kind in times)
        for turn, rounds in enumerate(next(iter(times.values())))
        for i in range(len(rounds))
    }
    half = set(sorted(took, key=took.__getitem__)[: (len(took) + 1) // 2])
    return {
        kind: [[each for i, each in enumerate(rounds) if (turn, i) in half] for turn, rounds in enumerate(turns)]
        for kind, turns in times.items()
    }


def _medians(times: Times, kind: str, value: Callable[[Round], float]) -> Added:
    def median(times: Times) -> float:
        return statistics.median(value(each) for turn in times[kind] for each in turn)

    return Added(median(quieter(times)), median(times))


def whole(times: Times, cell: Cell) -> Added:
    """The time of a request in all."""
    return _medians(times, cell[1], lambda each: each[cell[0]])


def added(times: Times, cell: Cell, base: Cell) -> Added:
    """The time that a proxy adds to another one in the same rounds."""
    return _medians(times, cell[1], lambda each: each[cell[0]] - each[base[0]])


def ratio(times: Times, budget: Budget) -> Added:
    here, there = added(times, budget.cell, budget.base), added(times, budget.than, budget.than_base)
    return Added(here.quieter / there.quieter, here.all / there.all)


def error(times: Times, budget: Budget) -> float:
    """The standard error of the ratio in the quieter half: the jackknife over the turns."""
    turns = len(times[budget.cell[1]])

    def without(left_out: int) -> Times:
        return {kind: [each for i, each in enumerate(all_of) if i != left_out] for kind, all_of in times.items()}

    ratios = [ratio(without(i), budget).quieter for i in range(turns)]
    return math.sqrt((turns - 1) * statistics.pvariance(ratios))


def wrong(at: Cell, answer: dict[str, str]) -> str | None:
    """An error text if the proxy's answer is not the expected one."""
    row, kind = at[0].partition(":")[0], at[1]
    route, shown, given = (answer[name] for name in ("x-asked-for", "x-app-version", "set-cookie"))
    nothing = ("", "", "")
    is_new = kind == NEW
    if row in (MUTATION, FLOOR):
        fits = (route, shown, given) == ("v1", "1.0", "")
    elif row.startswith(NONE) or row == NOTHING or kind == NOWHERE:
        fits = (route, shown, given) == nothing
    elif is_new:
        fits = shown in ("1.0", "2.0") and given.startswith("pinion-shop=")
        fits = fits and (row == WEIGHTED or route == {"1.0": "v1", "2.0": "v2"}[shown])
    elif kind == RULE:
        fits = shown == "2.0" and not given
    elif row == WEIGHTED:
        fits = shown in ("1.0", "2.0") and not given
    else:
        fits = (route, shown, given) == ("v1", "1.0", "")
    return None if fits else f"{row}, {kind}: {answer}"
