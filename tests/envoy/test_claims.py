"""Claims count only if jwt_authn verified the token."""

import asyncio
import time

import jwt

from harness import bootstrap as make
from harness.client import Connection
from harness.envoy import Envoy
from harness.upstream import Upstream

CONFIG = {
    "apps": [
        {
            "name": "shop",
            "versions": [{"name": "v1"}, {"name": "v2", "weight": 0}],
            "stable": "v1",
            "rules": [{"match": [{"claims": {"plan": {"exact": "gold"}}}], "version": "v2"}],
        }
    ]
}


def test_forged_expired_and_foreign_tokens_have_no_claims(binary, start):
    upstream = start(Upstream("upstream"))
    filters = [make.jwt_authn(), make.pinion(CONFIG)]
    listener = make.listener("edge", filters, [make.to("upstream")])
    envoy = start(Envoy(make.bootstrap([listener], [make.cluster("upstream", upstream.port)]), binary=binary))
    claims = {"iss": make.ISSUER, "plan": "gold"}
    good = jwt.encode(claims, make.JWT_KEY, "HS256")
    head, payload, signature = good.split(".")
    other_payload = jwt.encode({**claims, "sub": "x"}, make.JWT_KEY, "HS256").split(".")[1]
    tokens = {
        "good": (good, "v2"),
        "signed with another key": (jwt.encode(claims, b"another key of the same length, 44 characters", "HS256"), "v1"),
        "not signed": (jwt.encode(claims, None, "none"), "v1"),
        "without its signature": (f"{head}.{payload}.", "v1"),
        "another payload": (f"{head}.{other_payload}.{signature}", "v1"),
        "of another issuer": (jwt.encode({**claims, "iss": "https://evil.example.com"}, make.JWT_KEY, "HS256"), "v1"),
        "expired": (jwt.encode({**claims, "exp": int(time.time()) - 3600}, make.JWT_KEY, "HS256"), "v1"),
        "no token": ("nonsense", "v1"),
    }

    async def route(token: str) -> list[str]:
        response = await Connection(envoy.port()).request(headers=[("authorization", f"Bearer {token}")])
        return response.echo().all("x-app-version")

    seen = {name: asyncio.run(route(token)) for name, (token, _) in tokens.items()}
    assert seen == {name: [version] for name, (_, version) in tokens.items()}
