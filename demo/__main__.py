"""make demo, make run."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from contextlib import ExitStack

from harness import envoy

from . import blue_green, canary, dark_launch, mirroring, operator, path_scope, rollout
from .report import Report
from .stage import Stage

SCENARIOS = [blue_green, canary, dark_launch, path_scope, mirroring, rollout, operator]


def introduce(report: Report) -> None:
    binary = envoy.chosen()
    size = envoy.MODULE.stat().st_size / 1024
    report.say(f"[bold]pinion[/] on Envoy {envoy.release(binary)}, module of {size:.0f} KiB")


def show_all() -> int:
    report = Report()
    introduce(report)
    logs = []
    for number, module in enumerate(SCENARIOS, 1):
        scenario = report.scenario(number, module.TITLE, module.ABOUT)
        scenario.progress(f"starting Envoy with envoy/{module.NAME}.yaml and its upstreams")
        before = report.failed
        with Stage(module.NAME) as stage:
            asyncio.run(module.run(stage, scenario))
        scenario.show()
        if report.failed > before:
            logs.append(keep_log(module.NAME, stage.envoy.log()))
    if report.failed:
        report.say(f"[bold red]{report.failed} of {report.passed + report.failed} checks failed.")
        report.say("Envoy's logs:\n  " + "\n  ".join(logs))
        return 1
    report.say(f"[bold green]All {report.passed} checks passed.[/] `make run` serves the scenarios, so that you can try them.")
    return 0


def keep_log(name: str, log: str) -> str:
    kept = envoy.ROOT / ".run" / f"{name}.log"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(log)
    return str(kept.relative_to(envoy.ROOT))


def serve() -> int:
    report = Report()
    introduce(report)
    with ExitStack() as stack:
        for module in SCENARIOS:
            if not module.CURL:
                continue
            stage = stack.enter_context(Stage(module.NAME, free_ports=any_is_taken(module.NAME)))
            report.say(f"\n[bold]{module.TITLE}.[/] {module.ABOUT}")
            for line in module.CURL:
                report.console.print("  " + line.format(port=stage.port), soft_wrap=True)
            if stage.envoy.discovered:
                report.console.print(f"  configuration (Envoy reloads it when another file is moved over it): {stage.envoy.discovered}", soft_wrap=True)  # fmt: skip
            report.console.print(f"  metrics: curl -s {stage.envoy.admin_address}/stats/prometheus | grep ^pinion", soft_wrap=True)  # fmt: skip
        report.say("\nServing until Ctrl-C.")
        try:
            asyncio.run(asyncio.Event().wait())
        except KeyboardInterrupt:
            pass
    return 0


def any_is_taken(name: str) -> bool:
    """Whether a port of the bootstrap is in use."""
    bootstrap = envoy.load(envoy.ROOT / "envoy" / f"{name}.yaml")
    for place in [bootstrap["admin"], *bootstrap["static_resources"]["listeners"]]:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", place["address"]["socket_address"]["port_value"])) == 0:
                return True
    return False


if __name__ == "__main__":
    # SIGTERM raises SystemExit, so that the blocks end the processes that they started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(prog="demo")
    parser.add_argument("--serve", action="store_true", help="serve the scenarios")
    try:
        sys.exit(serve() if parser.parse_args().serve else show_all())
    except envoy.EnvoyFailed as failed:
        sys.exit(str(failed))
    except KeyboardInterrupt:
        sys.exit(130)
