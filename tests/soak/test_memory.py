"""The memory of an Envoy with the filter does not grow over millions of requests of all kinds.

The test takes minutes, so `make soak` runs it and `make test` does not. Only the Envoy with the filter is measured; the
upstream is another process.
"""

import asyncio
import dataclasses
import json
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import bootstrap as make
from harness import envoy
from harness.client import Connection
from harness.envoy import MODULE, ROOT, TOOLS, Envoy
from harness.load import Load, send
from harness.seals import sealed

LEAKS = TOOLS / "pinion-leaks.wasm"

BOUND = 2.0
"""The most growth of the RSS after the first mark, in percent."""

MARKS = 5
"""The number of measurements in a run. The requests before the first one are warm-up."""

STEP = round(float(os.environ.get("MILLIONS", "5")) * 1000) // MARKS * 1000
"""Requests between two marks: a million. Half a million in all is enough for a trial; fewer may not show a leak."""

EDGE = {
    "keys": [{"id": "k1", "env": "PINION_KEY"}, {"id": "k0", "env": "PINION_OLD_KEY"}],
    "accessLog": True,
    "apps": [
        {
            "name": "shop",
            "hosts": ["shop.example.com"],
            "versions": [
                {"name": "v1", "label": "1.0-SNAPSHOT"},
                {"name": "v2", "weight": 30, "label": make.ENVIRONMENT["APP_VERSION"]},
                {"name": "dark", "weight": 0},
            ],
            "stable": "v1",
            "rules": [{"match": [{"headers": {"end-user": {"regex": "test(er)?"}}}], "version": "v2"}],
            "pin": {"query": "dpl", "header": "x-version-pin", "key": [{"header": "x-user-id"}]},
            "override": {
                "header": "x-version-override",
                "query": "version-override",
                "cookie": "pinion-override",
                "allow": [{"headers": {"x-tester": {"exact": "yes"}}}],
            },
        }
    ],
}

WORKLOAD = {
    "stamp": {"from": {"nodeLabel": "version"}, "label": {"env": "APP_VERSION"}},
    "mirror": {"block": [{"methods": ["POST"], "paths": ["/payments"]}]},
}
"""A workload in the same chain as the edge, so that this part of the filter runs too. Its node is one of v2."""


HOME = 99_999
"""A slot of v1, the stable version."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of request, with the expected counts and response."""

    name: str
    per_mille: int
    host: str = "shop.example.com"
    headers: tuple[tuple[str, str], ...] = ()
    reason: str | None = None
    cause: str | None = None
    outcome: str | None = None
    given: tuple[str, ...] = ()
    """The cookies that the response sets. With several paths, this is the response of the first."""
    status: str = "200"
    how: dict = dataclasses.field(default_factory=dict)

    def share(self, requests: int) -> int:
        return requests * self.per_mille // 1000

    def load(self, requests: int) -> Load:
        connections = max(1, self.per_mille // 10)
        return Load(self.share(requests), connections, (("host", self.host), *self.headers), **self.how)


def kinds() -> list[Kind]:
    now = int(time.time())
    old = now - 13 * 3600

    def pin(slot: int, key: str = "k1", issued: int = now) -> str:
        return sealed("pin", make.key(key), "k1", "shop", f"v1~{issued}~0~{slot}")

    def cookie(value: str) -> tuple[tuple[str, str], ...]:
        return (("cookie", f"session=0123456789; pinion-shop={value}"),)

    token = sealed("token", make.key("k1"), "k1", "shop", f"dark~{now + 86_400}")
    pinned = ("pinion-shop",)
    tester = (("x-tester", "yes"), ("x-version-override", "dark"))
    links = tuple(f"/?page={i}&dpl={pin(i * 100)}" for i in range(1000))
    found = [
        Kind("new clients", 250, reason="draw", given=pinned),
        Kind("new clients, a connection each", 20, reason="draw", given=pinned, how={"keep_alive": False}),
        Kind("a pin by cookie", 250, headers=cookie(pin(HOME)), reason="pin"),
        Kind("pins by query, of which 300 move to v2", 100, reason="pin", given=pinned, how={"paths": links}),
        Kind("a pin that is renewed", 50, headers=cookie(pin(HOME, issued=old)), reason="pin", given=pinned),
        Kind("a forged pin", 80, headers=cookie(pin(HOME, "evil")), reason="draw", cause="forged", given=pinned),
        Kind("a rule", 60, headers=(("end-user", "tester"),), reason="rule"),
        Kind("a key", 50, headers=(("x-user-id", "somebody"),), reason="key"),
        Kind(
            "a token by query",
            40,
            reason="override",
            given=("pinion-override",),
            how={"paths": (f"/?version-override={token}",)},
        ),
        Kind("an override by name", 20, headers=tester, reason="override"),
        Kind("no app", 50, host="other.example.com"),
        Kind("a mirrored copy", 20, host="other.example.com-shadow", outcome="tagged"),
        Kind(
            "a blocked copy",
            10,
            host="other.example.com-shadow",
            outcome="blocked",
            status="204",
            how={"method": "POST", "paths": ("/payments/1",)},
        ),
    ]
    assert sum(kind.per_mille for kind in found) == 1000
    return found


@dataclasses.dataclass(frozen=True)
class Size:
    """The size of an Envoy in bytes, after some requests."""

    requests: int
    rss: int
    peak: int
    allocated: int
    seconds: float

    @classmethod
    def of(cls, envoy: Envoy, requests: int, seconds: float) -> "Size":
        status = Path(f"/proc/{envoy.process.pid}/status").read_text()
        kib = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB$", status, re.MULTILINE)}
        allocated = int(json.loads(envoy.admin("/memory"))["allocated"])
        return cls(requests, kib["VmRSS"] * 1024, kib["VmHWM"] * 1024, allocated, seconds)


def growth(sizes: list[Size]) -> float:
    """The growth from the first size to the last, in percent."""
    return (sizes[-1].rss / sizes[0].rss - 1) * 100


def hold(sizes: list[Size]) -> None:
    """Fails if the Envoy grew too much."""
    grown = growth(sizes)
    assert grown <= BOUND, f"RSS grew by {grown:.2f} % from {sizes[0].requests:,} to {sizes[-1].requests:,} requests"


def access_log() -> dict:
    """An access log with the filter's state, written to /dev/null."""
    text = "%FILTER_STATE(wasm.pinion_app:PLAIN)% %FILTER_STATE(wasm.pinion_reason:PLAIN)%\n"
    config = {
        "@type": f"{make.TYPE}.extensions.access_loggers.file.v3.FileAccessLog",
        "path": "/dev/null",
        "log_format": {"text_format_source": {"inline_string": text}},
    }
    return {"name": "envoy.access_loggers.file", "typed_config": config}


@contextmanager
def filtered(module: Path) -> Iterator[Envoy]:
    """An Envoy with the filter and one worker, in front of another Envoy. On a failure its log is shown."""
    binary = envoy.installed(envoy.NEWEST)
    hello = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "hello\n"}}}
    with Envoy(make.bootstrap([make.listener("answers", [], [hello])], []), binary=binary) as answers:
        filters = [make.pinion(EDGE), make.pinion(WORKLOAD) | {"name": "workload"}]
        edge = make.listener("edge", filters, [make.to("answers")], access_log=[access_log()])
        bootstrap = make.bootstrap([edge], [make.cluster("answers", answers.port())])
        with Envoy(bootstrap, binary=binary, module=module) as under_test:
            try:
                yield under_test
            except BaseException:
                print(under_test.log()[-20_000:])
                raise


def measure(module: Path, marks: int, folder: Path) -> list[Size]:
    """Sends `marks` steps of requests and measures the size after each. All requests must be served and counted."""
    sizes: list[Size] = []
    with filtered(module) as envoy:
        asked = kinds()
        for mark in range(1, marks + 1):
            begun = time.monotonic()
            answers = send([kind.load(STEP) for kind in asked], envoy.port(), folder)
            seconds = time.monotonic() - begun
            for kind, answer in zip(asked, answers, strict=True):
                assert answer == {kind.status: kind.share(STEP)}, kind.name
            # Envoy frees the memory of the last connections a moment later.
            time.sleep(2)
            sizes.append(Size.of(envoy, mark * STEP, seconds))
            print(row(sizes[-1]), flush=True)
        counted_right(envoy, asked, marks * STEP)
    return sizes


def counted_right(envoy: Envoy, asked: list[Kind], sent: int) -> None:
    """Checks that Envoy and the filter counted all requests, and that the filter never failed."""
    lines = envoy.admin("/stats?filter=^http.edge.|^cluster.answers.").splitlines()
    stats = dict(line.split(": ", 1) for line in lines)
    assert stats["http.edge.downstream_rq_total"] == stats["http.edge.downstream_rq_2xx"] == str(sent)
    blocked = sum(kind.share(sent) for kind in asked if kind.outcome == "blocked")
    assert stats["cluster.answers.upstream_rq_200"] == str(sent - blocked)

    metrics = [(name, labels_of(name), int(count)) for name, count in envoy.metrics().items()]
    seen: Counter = Counter()
    decided, mismatched = Counter(), Counter()
    for name, labels, count in metrics:
        if name.startswith("pinion_requests_total"):
            seen["reason", labels["pin_reason"]] += count
            decided[labels["pin_version"]] += count
        elif name.startswith("pinion_pins_rejected_total"):
            seen["cause", labels["pin_cause"]] += count
        elif name.startswith("pinion_mirrored_total"):
            seen["outcome", labels["pin_outcome"]] += count
        elif name.startswith("pinion_version_mismatch_total"):
            mismatched[labels["pin_version"]] += count
    expected: Counter = Counter()
    for kind in asked:
        for label in ("reason", "cause", "outcome"):
            if value := getattr(kind, label):
                expected[label, value] += kind.share(sent)
    assert seen == expected
    # The node is one of v2, so all responses of other versions are mismatches.
    assert decided.keys() == {"v1", "v2", "dark"}
    assert mismatched == {version: count for version, count in decided.items() if version != "v2"}

    log = envoy.log()
    assert "configuration refused" not in log
    bad = [line for line in log.splitlines() if re.search(r"\]\[(error|critical)\]|panicked", line)]
    assert not bad, bad[:5]


def labels_of(name: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', name))


def row(size: Size) -> str:
    mib = [f"{value / 1024 / 1024:.1f}" for value in (size.rss, size.peak, size.allocated)]
    return f"| {size.requests:,} | {' | '.join(mib)} | {STEP / size.seconds:,.0f} |"


HEAD = """\
| requests | RSS, MiB | highest RSS, MiB | Envoy's allocated heap, MiB | requests/s |
|---:|---:|---:|---:|---:|"""


def report(name: str, sizes: list[Size]) -> None:
    """Writes the measurements to .run/, in the form of docs/soak.md."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    machine = f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    about = f"{time.strftime('%Y-%m-%d')}, Envoy {envoy.NEWEST} with one worker, on {machine}."
    grown = f"RSS from {sizes[0].requests:,} to {sizes[-1].requests:,} requests: {growth(sizes):+.2f} %."
    text = "\n".join([about, "", HEAD, *map(row, sizes), "", grown, ""])
    kept = ROOT / ".run" / f"soak-{name}.md"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(text)
    print(f"\n{text}\nkept in {kept.relative_to(ROOT)}")


def test_each_kind_does_what_its_name_says():
    async def ask(port: int) -> None:
        for kind in kinds():
            load = kind.load(STEP)
            how = {"host": kind.host, "method": load.method, "headers": load.headers[1:]}
            response = await Connection(port).request(load.paths[0], **how)
            given = tuple(cookie.partition("=")[0] for cookie in response.all("set-cookie"))
            assert (str(response.status), given) == (kind.status, kind.given), kind.name

    with filtered(MODULE) as envoy:
        asyncio.run(ask(envoy.port()))


def test_memory_does_not_grow(tmp_path):
    sizes = measure(MODULE, MARKS, tmp_path)
    report("pinion", sizes)
    hold(sizes)


def test_a_module_that_leaks_its_streams_fails(tmp_path):
    # The module grows so fast that two marks are enough.
    sizes = measure(LEAKS, 2, tmp_path)
    report("leaks", sizes)
    with pytest.raises(AssertionError, match="RSS grew by"):
        hold(sizes)
