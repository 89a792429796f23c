"""The cost of a VM apart from requests: memory, the time to load the module, the time to load a configuration."""

from __future__ import annotations

import dataclasses
import re
import statistics
import time
from pathlib import Path

from cost import scenarios as of
from harness import envoy
from harness.envoy import Envoy

from . import rivals
from .measure import CONNECTIONS, Connections, cpu_seconds, requests
from .rivals import Proxy

FEW, MANY = 33, 65
"""Numbers of workers. Their difference gives the size of a VM: memory that the compiler freed hides the first VMs."""
STARTS = 3
"""Starts of each proxy. Sizes are medians. Times are minima, because other load only adds to them."""
SERVED = 4000
"""Requests before the size is read, so that every VM has served some."""
OTHERS = 2
"""VMs of an Envoy besides those of the workers: one on the main thread, and the one that the others are cloned from."""


@dataclasses.dataclass(frozen=True)
class Start:
    """One start of an Envoy, and its memory after some requests."""

    seconds: float
    cpu: float
    rss: int


@dataclasses.dataclass(frozen=True)
class Standing:
    """The cost of a filter apart from requests, compared with an Envoy without a filter."""

    name: str
    start_ms: float
    """The time from Envoy's first log line to the start of the workers, with one worker."""
    start_cpu_ms: float
    first_mib: float
    """The memory with one worker."""
    worker_mib: float
    """The memory of each further worker."""


@dataclasses.dataclass(frozen=True)
class Whole:
    standings: list[Standing]
    configuring_ms: float
    """The CPU time of a VM to load 1,000 apps instead of one app."""


def measure(now: int) -> Whole:
    proxies = {
        "no filter": rivals.no_filter(),
        "an SDK filter that does nothing": rivals.nothing(),
        "pinion, 1 app": rivals.pinion(of.apps(1)),
        "pinion, 1,000 apps": rivals.pinion(of.apps(1000)),
    }
    asked = of.asked(now)[of.PINNED]
    found: dict[tuple[str, int], list[Start]] = {}
    binary = envoy.installed(envoy.NEWEST)
    with Envoy(rivals.origin(), binary=binary) as origin:
        for _ in range(STARTS):
            for name, proxy in proxies.items():
                for workers in (1, FEW, MANY):
                    started = _start(dataclasses.replace(proxy, workers=workers), origin.port(), asked)
                    found.setdefault((name, workers), []).append(started)

    def size(name: str, workers: int) -> float:
        return statistics.median(start.rss for start in found[name, workers])

    def least(name: str, workers: int, what: str) -> float:
        return min(getattr(start, what) for start in found[name, workers])

    def standing(name: str) -> Standing:
        def more(workers: int) -> float:
            return (size(name, workers) - size("no filter", workers)) / 2**20

        def longer(what: str) -> float:
            return (least(name, 1, what) - least("no filter", 1, what)) * 1000

        return Standing(name, longer("seconds"), longer("cpu"), more(1), (more(MANY) - more(FEW)) / (MANY - FEW))

    names = list(proxies)[1:]
    longer = least(names[2], MANY, "cpu") - least(names[1], MANY, "cpu")
    return Whole([standing(name) for name in names], longer / (MANY + OTHERS) * 1000)


def _start(proxy: Proxy, origin: int, asked: of.Asked) -> Start:
    bootstrap = rivals.bootstrap({"edge": proxy}, origin)
    with Envoy(bootstrap, binary=envoy.installed(envoy.NEWEST), concurrency=proxy.workers) as running:
        pid = running.process.pid
        _wait_for_vms(running, proxy)
        cpu = cpu_seconds(pid)
        with Connections(running.port(), CONNECTIONS * proxy.workers) as connections:
            connections.send(requests(asked), SERVED)
        kib = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return Start(_loading(running.log()), cpu, int(kib[1]) * 1024)


def _wait_for_vms(running: Envoy, proxy: Proxy) -> None:
    """Waits until each VM has logged its configuration. Workers load it after Envoy reports that it is live."""
    if proxy.module != rivals.MODULE or not proxy.filters:
        return
    end = time.monotonic() + 20
    while running.log().count("configuration ") < proxy.workers + OTHERS:
        if time.monotonic() > end:
            raise RuntimeError(f"not every VM loaded its configuration:\n{running.log()}")
        time.sleep(0.02)


def _loading(log: str) -> float:
    """The seconds between Envoy's first log line and the start of its workers, by the times in the log."""

    def at(said: str) -> float:
        line = next(line for line in log.splitlines() if said in line)
        clock, milliseconds = re.match(r"\[[\d-]+ ([\d:]+)\.(\d+)\]", line).groups()
        hours, minutes, seconds = map(int, clock.split(":"))
        return hours * 3600 + minutes * 60 + seconds + int(milliseconds) / 1000

    return (at("all dependencies initialized. starting workers") - at("initializing epoch")) % 86_400
