"""A real Prometheus that scrapes a mesh and answers queries over HTTP."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

from harness.envoy import ROOT, TOOLS, end, free_port
from istiod import wait_until
from mesh import Mesh

SCRAPE = 5
"""Seconds between two scrapes. They are short, so that a run of minutes gives as many points as hours of a cluster."""


class Prometheus:
    """A Prometheus that scrapes each proxy and istiod, with the labels of Istio's scrape configuration."""

    def __init__(self, mesh: Mesh):
        self.home = Path(tempfile.mkdtemp(prefix="pinion-prometheus-"))
        self.port = free_port()
        self.process: subprocess.Popen | None = None
        proxies = {"gateway": mesh.gateway, **mesh.sidecars}
        jobs = [("istiod", f"127.0.0.1:{mesh.istiod.monitoring}", "/metrics", {})]
        jobs += [
            (name, envoy.admin_address, "/stats/prometheus", {"istio": "ingressgateway"} if name == "gateway" else {})
            for name, envoy in proxies.items()
        ]
        config = {
            "global": {"scrape_interval": f"{SCRAPE}s", "evaluation_interval": f"{SCRAPE}s"},
            "rule_files": [str(ROOT / "wasmplugin" / "observability" / "alerts.yaml")],
            "scrape_configs": [
                {
                    "job_name": name,
                    "metrics_path": path,
                    "static_configs": [{"targets": [address], "labels": {"instance": name, **labels}}],
                }
                for name, address, path, labels in jobs
            ],
        }
        (self.home / "prometheus.yaml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Prometheus:
        log_file = self.home / "prometheus.log"
        command = [
            TOOLS / "bin" / "prometheus", f"--config.file={self.home / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self.home / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}",
        ]  # fmt: skip
        with log_file.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.home)
        try:
            wait_until(lambda: self._get("/-/ready"), log_file.read_text, alive=self.process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        end(self.process)
        shutil.rmtree(self.home, ignore_errors=True)

    def range(self, query: str, start: float, stop: float) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """The series of a query over a period, each with its labels and its values by time."""
        parameters = urllib.parse.urlencode({"query": query, "start": start, "end": stop, "step": SCRAPE})
        answer = json.loads(self._get(f"/api/v1/query_range?{parameters}"))
        if answer["status"] != "success":
            raise RuntimeError(f"{query}: {answer}")
        found = answer["data"]["result"]
        return [(each["metric"], [(at, float(value)) for at, value in each["values"]]) for each in found]

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
            return response.read().decode()
