"""The cost of a request in the module: host calls and executed instructions. It is the same on every machine."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from harness import bootstrap as make

from .host import Exchange, Host, Lines
from .scenarios import Asked, Scenario

NOW = 1_790_000_000

ANSWER: Lines = [(":status", "200"), ("content-type", "text/html"), ("server", "envoy"), ("x-envoy-upstream-service-time", "1")]


def host(module: Path, config: dict, now: int = NOW) -> Host:
    return Host(module, json.dumps(config), make.ENVIRONMENT, now)


def lines(asked: Asked, path: str) -> Lines:
    """The request's headers as a proxy hands them to its filters."""
    pseudo = [(":authority", asked.host), (":path", path), (":method", "GET"), (":scheme", "http")]
    added = [("x-forwarded-proto", "http"), ("x-request-id", "7fd83ddf-6bd0-4b3c-a3c0-c2fdc1d4a4a5")]
    return [*pseudo, *asked.headers, *added]


BEFORE = 2
"""Exchanges before the measured one: the first defines counters, and the second may still grow a table."""


def exchange(module: Path, scenario: Scenario, now: int = NOW) -> tuple[Host, Exchange]:
    """An exchange of a scenario in a warm VM, and its host."""
    vm = host(module, scenario.config, now)
    paths = itertools.islice(itertools.cycle(scenario.asked.paths), BEFORE + 1)
    return vm, [vm.exchange(lines(scenario.asked, path), ANSWER) for path in paths][-1]
