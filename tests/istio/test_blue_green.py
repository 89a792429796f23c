"""Blue-green by host. An edit of the WasmPlugin, which istiod pushes, swaps the versions."""

import asyncio
import hashlib
import json

import local
from harness.envoy import MODULE
from istiod import until
from mesh import flips, plugins, served

HOSTS = ["example.com", "test.example.com"]
BLUE, GREEN = ("system-blue", "1.0-SNAPSHOT"), ("system-green", "2.0-SNAPSHOT")


def test_the_swap_is_one_edit(mesh, row):
    running = mesh("blue-green")
    assert asyncio.run(walk(running)) == 0
    row(
        name="blue-green",
        requests=running.requests,
        **{"with": 0},
        asserted="x-app-version by host; swap and swap back move everybody once; a refused edit changes nothing",
    )


async def walk(running) -> int:
    async def look() -> list[tuple[str, str | None]]:
        answers = [await running.ask(host=host) for host in HOSTS]
        return [(served(each), each.get("x-app-version")) for each in answers]

    assert await look() == [BLUE, GREEN]
    clients = [running.browser() for _ in range(100)]
    before = [[served(await each.request(host="example.com")) for _ in range(3)] for each in clients]
    assert {version for seen in before for version in seen} == {"system-blue"}

    # A refused configuration: the previous one still serves.
    app = running.find("WasmPlugin", "pinion-edge")["spec"]["pluginConfig"]["apps"][0]
    app["stable"] = "purple"
    running.apply()
    await until(lambda: said(running, 'apps[0].stable: "purple" is not a version of this app'), running.gateway.log)
    assert await look() == [BLUE, GREEN]

    # The swap, and back.
    for expected, stable, other in [([GREEN, BLUE], "green", "blue"), ([BLUE, GREEN], "blue", "green")]:
        app["stable"], app["rules"][0]["version"] = stable, other
        running.apply()

        async def swapped(expected=expected) -> bool:
            return await look() == expected

        await until(swapped, running.gateway.log)
        after = [[served(await each.request(host="example.com")) for _ in range(3)] for each in clients]
        assert {version for seen in after for version in seen} == {expected[0][0]}
    for each in clients:
        await each.close()
    return flips(before) + flips(after)


async def said(running, message: str) -> bool:
    return f"configuration refused: {message}" in running.gateway.log()


def test_the_run_is_real(mesh):
    """The proxies have istiod's configuration, and a module with the manifests' checksum has loaded it."""
    running = mesh("blue-green")
    rendered = running.cluster.render(running.documents)
    for envoy, name in [(running.gateway, "pinion-edge"), (running.sidecars["system-blue"], "pinion-workload")]:
        spec = local.find(rendered, "WasmPlugin", name)["spec"]
        [(resource, config)] = plugins(envoy).items()
        assert resource.startswith("extensions.istio.io/wasmplugin/") and resource.endswith(f".{name}")
        module = config["vm_config"]["code"]["local"]["filename"]
        assert module == str(MODULE)
        assert hashlib.sha256(MODULE.read_bytes()).hexdigest() == spec["sha256"]
        assert json.loads(config["configuration"]["value"]) == spec["pluginConfig"]
        assert config["failure_policy"] == spec["failStrategy"]
        digest = hashlib.sha256(config["configuration"]["value"].encode()).hexdigest()[:12]
        assert f"configuration {digest} taken" in envoy.log()
    server = json.loads(running.gateway.admin("/config_dump"))
    assert "xds-grpc" in json.dumps(server)


def test_responses_that_envoy_makes_are_neither_stamped_nor_pinned(mesh):
    running = mesh("blue-green")

    async def walk() -> None:
        nobody = await running.ask(host="nobody.example.com")
        assert (nobody.status, nobody.get("x-app-version"), nobody.get("set-cookie")) == (404, None, None)
        running.apps["system-green"].__exit__()
        dead = await running.ask(host="test.example.com")
        assert (dead.status, dead.get("set-cookie")) == (503, None)
        for host, label in [("example.com", "1.0-SNAPSHOT")]:
            alive = await running.ask(host=host)
            assert (alive.status, alive.get("x-app-version")) == (200, label)

    asyncio.run(walk())
