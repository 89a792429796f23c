"""Mirrored requests: marked by the EnvoyFilter, and recognized by the app and in the access logs."""

import asyncio
import json

from istiod import until, wait_until
from mesh import served

REQUESTS = 50


def logged(envoy) -> list[dict]:
    """The lines of a proxy's access log."""
    return [json.loads(line) for line in envoy.log().splitlines() if line.startswith("{")]


def test_mirroring(mesh, row):
    running = mesh("mirroring")
    live, copies = [], []

    async def walk() -> None:
        how = {"host": "mirroring.example.com"}
        # The edge removes a client's own mark.
        headers = [("x-pinion-mirror", "true"), ("x-mirrored", "true")]
        for i in range(REQUESTS):
            response = await running.ask(f"/mirroring/{i}", headers=headers if i % 2 else [], **how)
            assert served(response) == "mirroring-v1" and response.get("x-app-version") == "v1"
            assert not response.echo().all("x-mirrored") and not response.echo().all("x-pinion-mirror")
        # Requests outside of /mirroring are neither mirrored nor served.
        assert (await running.ask("/other", **how)).status == 404

        async def arrived() -> bool:
            live.extend(await asyncio.to_thread(running.apps["mirroring-v1"].seen))
            copies.extend(await asyncio.to_thread(running.apps["mirroring-v2"].seen))
            return len(copies) >= REQUESTS

        await until(arrived, lambda: f"{len(copies)} copies came")

        # One response and one copy. A failure of the copy does not reach the client.
        await asyncio.to_thread(running.apps["mirroring-v2"].__exit__)
        for i in range(5):
            assert served(await running.ask(f"/mirroring/down/{i}", **how)) == "mirroring-v1"

    asyncio.run(walk())
    paths = sorted(f"/mirroring/{i}" for i in range(REQUESTS))
    assert sorted(each["path"] for each in live) == sorted(each["path"] for each in copies) == paths
    for each in copies:
        headers = dict(map(tuple, each["headers"]))
        assert headers["x-mirrored"] == "true" and headers["host"] == "mirroring.example.com"
        assert headers["x-app-version"] == "v1"
    assert not [each for each in live if "x-mirrored" in dict(map(tuple, each["headers"]))]

    # The access logs mark copies, and a copy has the request id of its original. Envoy flushes the logs periodically.
    def ids(version: str) -> dict[str, str | None]:
        lines = logged(running.sidecars[f"mirroring-{version}"])
        return {line["request_id"]: line["mirrored"] for line in lines}

    def told_apart() -> bool:
        return len(ids("v2")) >= REQUESTS and ids("v2").keys() <= ids("v1").keys()

    wait_until(told_apart, lambda: f"v1: {ids('v1')}\nv2: {ids('v2')}")
    assert set(ids("v1").values()) == {None} and set(ids("v2").values()) == {"true"}
    assert running.sidecars["mirroring-v2"].metrics()['pinion_mirrored_total{pin_outcome="tagged"}'] >= REQUESTS
    row(
        name="mirroring",
        requests=running.requests,
        asserted=f"{REQUESTS} copies of {REQUESTS}, tagged and logged; clients' marks stripped; v2 down, v1 fine",
    )
