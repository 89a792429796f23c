"""Prints the demo: headings, progress, and tables of expected and observed results."""

from __future__ import annotations

from collections.abc import Callable

from rich import box
from rich.console import Console
from rich.table import Table


class Report:
    def __init__(self) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = 110
        self.passed = 0
        self.failed = 0

    def say(self, text: str) -> None:
        self.console.print(text)

    def scenario(self, number: int, title: str, about: str) -> Scenario:
        self.console.print()
        self.console.rule(f"[bold]{number}. {title}", align="left")
        self.console.print(about)
        return Scenario(self)


class Scenario:
    """The checks of one scenario, which are shown at its end."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        self.table.add_column("check")
        self.table.add_column("expected")
        self.table.add_column("observed")
        self.table.add_column("")

    def progress(self, text: str) -> None:
        self.report.console.print(f"  [dim]… {text}")

    def check(self, what: str, expected: object, seen: object, *, holds: Callable | None = None) -> None:
        """Adds a check. The observed value must equal the expected one, or satisfy `holds` if that is given."""
        good = bool(holds(seen)) if holds else seen == expected
        if good:
            self.report.passed += 1
        else:
            self.report.failed += 1
        mark = "[green]ok" if good else "[bold red]FAILED"
        self.table.add_row(what, str(expected), str(seen), mark)

    def show(self) -> None:
        self.report.console.print(self.table)
