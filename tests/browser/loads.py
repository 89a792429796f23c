"""What clients requested: each request as Envoy's access log has it, and all requests of a page."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Request:
    """A request as Envoy's access log has it, with the version whose upstream answered it."""

    at: str
    host: str
    method: str
    path: str
    code: int
    edge: str | None
    """The version that a gateway before this one chose."""
    version: str | None
    reason: str | None
    pins: str | None
    """Set-Cookie lines of the answer."""
    caching: str | None
    """Its Cache-Control."""
    cookie: str | None
    mode: str | None
    dest: str | None
    purpose: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.code} {self.version} {self.reason} {self.mode}/{self.dest}"


ACCESS_LOG = {
    "id": "%REQ(X-REQUEST-ID)%",
    "at": "%START_TIME(%s.%6f)%",
    "host": "%REQ(:AUTHORITY)%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "code": "%RESPONSE_CODE%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "edge": "%REQ(X-EDGE-VERSION)%",
    "reason": "%FILTER_STATE(wasm.pinion_reason:PLAIN)%",
    "pins": "%RESP(SET-COOKIE)%",
    "caching": "%RESP(CACHE-CONTROL)%",
    "cookie": "%REQ(COOKIE)%",
    "mode": "%REQ(SEC-FETCH-MODE)%",
    "dest": "%REQ(SEC-FETCH-DEST)%",
    "purpose": "%REQ(SEC-PURPOSE)%",
}


@dataclasses.dataclass(repr=False)
class Load:
    """The requests for a page and its parts, or for further parts of an open page."""

    page: str
    """The version of the page that the browser shows."""
    requests: list[Request]

    @property
    def versions(self) -> set[str]:
        return {self.page, *(request.version for request in self.requests if request.version)}

    @property
    def missing(self) -> list[Request]:
        """The requests that were answered with an error."""
        return [request for request in self.requests if request.code >= 400]

    @property
    def whole(self) -> bool:
        """Whether all parts came from one version, without an error."""
        return len(self.versions) == 1 and not self.missing

    def to(self, path: str) -> list[Request]:
        """Requests whose path begins so."""
        return [request for request in self.requests if request.path.startswith(path)]

    def of(self, kind: str) -> list[Request]:
        """Requests for a kind of part, by the names that the app's page gives them."""
        begins = {
            "chunk": "/assets/chunk", "data": "/api/data", "image": "/assets/picture", "worker": "/assets/worker",
            "events": "/events", "socket": "/socket", "frame": "/frame?", "form": "/frame?form",
        }  # fmt: skip
        return self.to(begins[kind])

    def __repr__(self) -> str:
        lines = [f"a page of {self.page}, with", *(f"  {request}" for request in self.requests)]
        return "\n".join(lines)
