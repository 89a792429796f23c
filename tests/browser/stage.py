"""The servers that the browsers visit: an Envoy that speaks TLS and has Pinion, and an app in two versions.

Envoy's access log, checked against the upstreams' own records, says what was requested. The browsers are not asked.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import http.client
import json
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import yaml
from harness import bootstrap as make
from harness.envoy import NEWEST, Envoy, free_port, installed

from .driver import BARE, SECONDS
from .loads import ACCESS_LOG, Request

VERSIONS = "v1", "v2"
PROBES = 16
"""After so many connections none of two workers was left out: once in 30,000 runs one was."""

OTHER_SITE = """<!doctype html>
<title>another site</title>
<link rel="icon" href="data:,">
<body>
<script>
const target = new URLSearchParams(location.search).get("target");
const post = () => {
  const form = document.createElement("form");
  Object.assign(form, {method: "post", action: target});
  document.body.append(form);
  form.submit();
};
const embed = () => new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.onload = () => done(true);
  frame.src = target;
  document.body.append(frame);
});
</script>
"""


ONE_DOMAIN = ["shop.test", "*.shop.test"]
"""Hosts that a cookie with the domain shop.test covers."""


def shop(**changes: Any) -> dict:
    """An app whose two versions have half of the clients each, with other fields."""
    app = {
        "name": "shop",
        "hosts": [*ONE_DOMAIN, BARE, f"*.{BARE}"],
        "versions": [{"name": "v1"}, {"name": "v2", "weight": 50}],
        "stable": "v1",
    }
    return app | changes


def weights(v1: dict, v2: dict) -> list[dict]:
    """The list of the two versions with these fields."""
    return [{"name": "v1", **v1}, {"name": "v2", **v2}]


class Upstream(Protocol):
    """One version of an app."""

    port: int

    def seen(self, host: str) -> list[dict]:
        """The requests for a host that came, as far as the upstream keeps a record."""


class Stage:
    """Envoy and two upstreams, ended with the block."""

    def __init__(
        self,
        app: dict | list[dict],
        upstreams: dict[str, Upstream],
        certificate: tuple[Path, Path],
        folder: Path,
        *,
        listeners: Callable[[Stage], list[dict]] | None = None,
    ):
        self.upstreams = upstreams
        self.certificate = certificate
        self.access_log = folder / "access.log"
        self.configuration = folder / "pinion.yaml"
        self._read = 0
        self._logged: dict[str, list[dict]] = collections.defaultdict(list)
        self.updates = 0
        self._write(app, self.configuration)
        self.clusters = [make.cluster(name, upstream.port) for name, upstream in upstreams.items()]
        wanted = listeners(self) if listeners else [self.edge([self.agent(), self.pinion()])]
        self.envoy = Envoy(
            make.bootstrap(wanted, self.clusters), binary=installed(NEWEST), concurrency=2, free_ports=False
        )
        self.ports: dict[str, int] = {}

    def pinion(self) -> dict:
        """The filter, whose configuration `update` changes."""
        return make.discovered(self.configuration)

    def agent(self) -> dict:
        """A filter that writes the client's host into its `user-agent`.

        All clients of this machine have one address and one agent. Here they stand for clients that don't, and each
        has a host of its own.
        """
        value = {"key": "user-agent", "value": "%REQ(USER-AGENT)% of %REQ(:AUTHORITY)%"}
        mutation = {"append": {"header": value, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
        config = {
            "@type": f"{make.TYPE}.extensions.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"request_mutations": [mutation]},
        }
        return {"name": "agent", "typed_config": config}

    def routes(self) -> list[dict]:
        """Another site, and each version by its header."""
        elsewhere = {
            "match": {"prefix": "/", "headers": [{"name": ":authority", "string_match": {"contains": "pay.test"}}]},
            "direct_response": {"status": 200, "body": {"inline_string": OTHER_SITE}},
            "response_headers_to_add": [{"header": {"key": "content-type", "value": "text/html"}}],
        }
        return [elsewhere, *(make.to(name, x_app_version=name) for name in self.upstreams)]

    def edge(self, filters: list[dict], routes: list[dict] | None = None, *, log: bool = True, **manager: Any) -> dict:
        """A listener that speaks TLS, HTTP/2 and HTTP/1.1."""
        listener = self.plain("edge", filters, routes, log=log, **manager)
        chain, key = self.certificate
        pair = {"certificate_chain": {"filename": str(chain)}, "private_key": {"filename": str(key)}}
        context = {"tls_certificates": [pair], "alpn_protocols": ["h2", "http/1.1"]}
        tls = f"{make.TYPE}.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
        listener["filter_chains"][0]["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": tls, "common_tls_context": context},
        }
        return listener

    def plain(
        self, name: str, filters: list[dict], routes: list[dict] | None = None, *, log: bool = True, **manager: Any
    ) -> dict:
        """A listener without TLS."""
        file = {
            "@type": f"{make.TYPE}.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(self.access_log),
            "log_format": {"json_format": ACCESS_LOG},
        }
        logs = [{"name": "file", "typed_config": file}] if log else []
        more = {"access_log": logs, "use_remote_address": True, **manager}
        more["upgrade_configs"] = [{"upgrade_type": "websocket"}]
        return make.listener(name, filters, self.routes() if routes is None else routes, **more)

    def behind(
        self, first: list[dict], route: dict | None = None, *, filters: list[dict] | None = None, **inner: Any
    ) -> list[dict]:
        """The filter behind another gateway: a listener that speaks TLS, with the first filters, and one behind that.

        Only the second listener writes the access log. All requests reach that listener by http.
        """
        second = self.plain("inner", filters or [self.agent(), self.pinion()], **inner)
        port = second["address"]["socket_address"]["port_value"] = free_port()
        self.clusters.append(make.cluster("inner", port))
        return [self.edge(first, [self.routes()[0], make.to("inner") | (route or {})], log=False), second]

    def __enter__(self) -> Stage:
        self.envoy.__enter__()
        try:
            self.ports = self.envoy.ports()
            self._require_configuration()
        except BaseException:
            self.envoy.__exit__()
            raise
        return self

    def _require_configuration(self) -> None:
        """Fails if the filter refused a configuration: that must not look like broken pages."""
        refused = re.findall("configuration refused: (.*)", self.envoy.log())
        assert not refused, f"the filter refuses the configuration: {sorted(set(refused))}"

    def __exit__(self, *_) -> None:
        self.envoy.__exit__()

    @property
    def port(self) -> int:
        return self.ports["edge"]

    def _write(self, app: dict | list[dict], path: Path) -> dict:
        """Writes the configuration, in which each label ends with the number of the update."""
        apps = copy.deepcopy(app if isinstance(app, list) else [app])
        for one in apps:
            one["responseHeader"] = "x-update"
            for version in one["versions"]:
                version["label"] = f"{version['name']} {self.updates}"
        resources = make.resource({"apps": apps, "accessLog": True})
        path.write_text(yaml.safe_dump(resources))
        return resources

    def update(self, app: dict | list[dict]) -> None:
        """Changes the configuration, and waits until both workers have it."""
        self.updates += 1
        self.envoy.update(self._write(app, self.configuration.with_suffix(".next")))
        until, held = time.monotonic() + SECONDS, 0
        # Each probe is a connection of its own, which goes to one of two workers.
        while held < PROBES:
            held = held + 1 if self.probe().endswith(f" {self.updates}") else 0
            self._require_configuration()
            assert time.monotonic() < until, f"the update did not come:\n{self.envoy.log()[-3000:]}"

    def probe(self, path: str = "/api/probe", host: str = "probe.shop.test") -> str:
        """The label of the version that a request without a browser gets: `v2 0` in the first configuration."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=SECONDS, context=context)
        try:
            connection.request("GET", path, headers={"host": host})
            response = connection.getresponse()
            response.read()
            return response.getheader("x-update", "")
        finally:
            connection.close()

    def settle(self) -> None:
        """Waits until Envoy has written the lines of finished requests: Envoy writes every 50 ms."""
        time.sleep(0.07)

    def requests(self, host: str) -> list[Request]:
        """All requests of a host, once the access log has all that reached the upstreams."""
        until = time.monotonic() + SECONDS
        while True:
            # An internal redirect leaves two records with one id.
            seen: dict[str, list[dict]] = collections.defaultdict(list)
            for upstream in self.upstreams.values():
                for record in upstream.seen(host):
                    seen[record["id"]].append(record)
            lines = self._lines(host)
            missing = seen.keys() - {line["id"] for line in lines}
            if not missing:
                return sorted((self._request(line, seen) for line in lines), key=lambda request: request.at)
            assert time.monotonic() < until, f"the access log lacks {[seen[name] for name in missing]}"
            time.sleep(0.02)

    def _request(self, line: dict, seen: dict[str, list[dict]]) -> Request:
        records = seen.get(line["id"], [])
        # Some upstreams keep no record.
        version = line["cluster"] if line["cluster"] in self.upstreams else None
        agreed = not records or version in {record["version"] for record in records}
        assert agreed, f"Envoy and the upstream differ: {line} {records}"
        names = {field.name for field in dataclasses.fields(Request)} - {"version"}
        return Request(version=version, **{name: line.get(name) for name in names})

    def _lines(self, host: str) -> list[dict]:
        """The lines of the access log for a host."""
        if self.access_log.exists():
            with self.access_log.open() as log:
                log.seek(self._read)
                # The last line may not be written to its end yet.
                whole, end, _ = log.read().rpartition("\n")
            self._read += len((whole + end).encode())
            for line in map(json.loads, whole.splitlines()):
                self._logged[line["host"]].append(line)
        return self._logged[host]
