"""Clients that visit pages, several at a time, while the versions are swapped."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator

from .client import Client
from .driver import Tab
from .loads import Load
from .table import TABLE

AT_ONCE = 6
"""How many tabs load at a time."""


def _batches(clients: Iterable[Client]) -> Iterator[list[Client]]:
    clients = list(clients)
    for start in range(0, len(clients), AT_ONCE):
        yield clients[start : start + AT_ONCE]


def visit(clients: Iterable[Client], path: str = "/") -> list[Load]:
    """Each client types the address of a page."""
    loads = []
    for batch in _batches(clients):
        for client, going in [(client, client.tab.going(client.url(path))) for client in batch]:
            client.tab.arrived(going)
        for client, asking in [(client, client.tab.asking("parts")) for client in batch]:
            client.tab.told(asking)
        batch[0].stage.settle()
        loads += [client.load() for client in batch]
    return loads


def more(clients: Iterable[Client], name: str) -> list[Load]:
    """The open page of each client loads further parts of all kinds."""
    loads = []
    for batch in _batches(clients):
        asked = [(client, client.tab.asking(f"more({json.dumps(name)})")) for client in batch]
        for client, asking in asked:
            client.tab.told(asking)
        batch[0].stage.settle()
        loads += [client.load() for client in batch]
    return loads


def both(client: Client, second: Tab, path: str = "/") -> tuple[str, str, Load]:
    """Two tabs of a client go to a page at the same time; returns their versions, and what both requested."""
    tabs = client.tab, second
    for tab, going in [(tab, tab.going(client.url(path))) for tab in tabs]:
        tab.arrived(going)
    for tab in tabs:
        tab.value("parts")
    client.stage.settle()
    return client.tab.value("version"), second.value("version"), client.load()


@dataclasses.dataclass
class Measured:
    """What the clients of one kind met."""

    before: list[list[Load]]
    """Visits of each client before the swap: the first and the second."""
    open: list[Load]
    """Further parts of the page that each client had open during the swap."""
    after: list[list[Load]]
    """Visits of each client after the swap."""

    @property
    def visits(self) -> list[Load]:
        """All loads of pages."""
        return sum([*self.before, *self.after], [])

    @property
    def broken(self) -> list[Load]:
        """The loads that were not whole, those of further parts too."""
        return [load for load in [*self.visits, *self.open] if not load.whole]

    @property
    def flips(self) -> int:
        """How often a client moved to another version although no share had changed."""
        return _flips(self.before) + _flips(self.after)

    @property
    def moved(self) -> int:
        """How many clients moved at the swap."""
        return sum(before[-1].page != after[0].page for before, after in zip(self.before, self.after, strict=True))

    def note(self, caching: str, client: str, swap: str) -> None:
        """Adds it to the table: what came before the swap, after it, and on the page that was open during the swap."""
        still = [[load] for load in self.open]
        for name, visits in [("none", self.before), (swap, self.after), (f"{swap}, open page", still)]:
            row = TABLE.row(caching, client, name)
            for load in sum(visits, []):
                row.add(load)
            row.flips += _flips(visits)


def _flips(visits: list[list[Load]]) -> int:
    return sum(a.page != b.page for loads in visits for a, b in itertools.pairwise(loads))


def journey(groups: dict[str, list[Client]], swap: Callable[[], None], path: str = "/") -> dict[str, Measured]:
    """The clients of each group come, return, load more of the open page after the swap, and return twice."""
    clients = [client for group in groups.values() for client in group]
    first, second = visit(clients, path), visit(clients, path)
    swap()
    still, third, fourth = more(clients, "late"), visit(clients, path), visit(clients, path)
    measured, at = {}, 0
    for name, group in groups.items():
        part = slice(at, at + len(group))
        at += len(group)
        before = [list(loads) for loads in zip(first[part], second[part], strict=True)]
        after = [list(loads) for loads in zip(third[part], fourth[part], strict=True)]
        measured[name] = Measured(before, still[part], after)
    return measured
