"""What was measured: page loads that are whole, clients that moved without a reason, and bundles that were missing."""

from __future__ import annotations

import dataclasses
import datetime

from .loads import Load

LABELS = {
    "nothing": "none",
    "express": "public, max-age=0",
    "nextjs": "s-maxage=31536000",
    "never": "private, no-cache, no-store, max-age=0",
    "modified": "only Last-Modified",
    "expired": "no-cache, Expires: 0",
    "cdn": "no-cache, CDN-Cache-Control",
    "surrogate": "no-cache, Surrogate-Control",
    "edge": "no-cache, Edge-Control",
    "accel": "no-cache, X-Accel-Expires",
}
"""The caching headers of a kind of pages, where the kind's name does not say them."""

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
        for (caching, client, swap), row in self.rows.items():
            names = LABELS.get(caching, caching), client, swap
            cells.append((*names, str(row.loads), str(row.whole), str(row.flips), str(row.missing)))
        widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
        rendered = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
        rendered.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        ran = ", ".join(f"{name} {version}" for name, version in sorted(self.browsers.items()))
        return [*rendered, "", f"{ran}; {datetime.date.today().isoformat()}"]


TABLE = Table()
"""The table of this run."""
