"""What was measured: page loads that are whole, clients that moved without a reason, and bundles that were missing."""

from __future__ import annotations

import dataclasses
import datetime

from .stage import Load

HEAD = "caching of the page", "client", "swap", "page loads", "whole", "flips", "404s"


@dataclasses.dataclass
class Row:
    loads: int = 0
    whole: int = 0
    flips: int = 0
    missing: int = 0

    def add(self, load: Load) -> None:
        """Counts a load of a page, or of further parts of an open page."""
        self.loads += 1
        self.whole += load.whole
        self.missing += sum(request.code == 404 for request in load.requests)

    @property
    def clean(self) -> bool:
        """Whether no page was mixed, nothing was missing and nobody moved without a reason."""
        return self.loads == self.whole and not self.flips and not self.missing


class Table:
    def __init__(self):
        self.rows: dict[tuple[str, str, str], Row] = {}
        self.browsers: dict[str, str] = {}
        """The version of each browser that ran."""

    def row(self, caching: str, client: str, swap: str) -> Row:
        return self.rows.setdefault((caching, client, swap), Row())

    def lines(self) -> list[str]:
        """The table in Markdown, with the browsers' versions and the date below."""
        cells = [HEAD]
        for names, row in self.rows.items():
            cells.append((*names, str(row.loads), str(row.whole), str(row.flips), str(row.missing)))
        widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
        rendered = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
        rendered.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        ran = ", ".join(f"{name} {version}" for name, version in sorted(self.browsers.items()))
        return [*rendered, "", f"{ran}; {datetime.date.today().isoformat()}"]


TABLE = Table()
"""The table of this run."""
