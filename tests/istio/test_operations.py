"""The procedures of docs/operations.md on a running mesh."""

import asyncio
import json
from contextlib import suppress

from harness import envoy
from harness.envoy import MODULE
from istiod import until, wait_until
from mesh import Mesh, plugins, served

HOW = {"host": "example.com"}


def edge(running: Mesh) -> dict:
    return running.find("WasmPlugin", "pinion-edge")["spec"]["pluginConfig"]


def test_a_refused_configuration_does_not_affect_running_pods_but_breaks_new_ones(mesh):
    running = mesh("blue-green")
    app = edge(running)["apps"][0]
    app["stable"] = "purple"
    running.apply()
    wait_until(lambda: "configuration refused" in running.gateway.log(), running.gateway.log)
    assert served(asyncio.run(running.ask(**HOW))) == "system-blue"
    running.gateway.__exit__()
    fresh = running.replace_gateway()
    response = asyncio.run(running.ask(**HOW))
    assert (response.status, response.get("x-app-version")) == (500, None)
    assert "configuration refused" in fresh.log()
    app["stable"] = "blue"
    running.apply()

    async def mended() -> bool:
        return (await running.ask(**HOW)).status == 200

    asyncio.run(until(mended, fresh.log))


def test_the_kill_switch_leaves_routing_to_the_virtual_service(mesh):
    running = mesh("blue-green")
    assert served(asyncio.run(running.ask(host="test.example.com"))) == "system-green"
    edge(running)["apps"][0]["enabled"] = False
    running.apply()

    async def off() -> bool:
        # Clients still cannot set the route header.
        response = await running.ask(host="test.example.com", headers=[("x-app-version", "green")])
        return served(response) == "system-blue" and response.get("set-cookie") is None

    asyncio.run(until(off, running.gateway.log))


def test_a_key_rotation_changes_no_client_s_slot(mesh):
    running = mesh("canary")
    how = {"host": "shop.example.com"}
    old, new = {"id": "k1", "env": "PINION_KEY"}, {"id": "k2", "env": "PINION_KEY_2"}
    running.gateway.__exit__()
    running.replace_gateway(PINION_KEY_2="the next key, which is long enough too")

    async def walk() -> None:
        first = [running.browser() for _ in range(30)]
        places = [served(await each.request(**how)) for each in first]
        for keys, signer in [([old, new], "k1"), ([new, old], "k2")]:
            edge(running)["keys"] = keys
            running.apply()

            async def signs(keys=keys, signer=signer) -> bool:
                response = await running.ask(**how)
                taken = json.loads(next(iter(plugins(running.gateway).values()))["configuration"]["value"])
                return taken["keys"] == keys and response.get("set-cookie").split(";")[0].split("~")[4] == signer

            await until(signs, running.gateway.log)
            assert [served(await each.request(**how)) for each in first] == places
        for each in first:
            await each.close()

    asyncio.run(walk())
    rejected = [name for name in running.gateway.metrics() if name.startswith("pinion_pins_rejected_total")]
    assert not rejected


def test_an_upgrade_and_a_rollback_of_the_module_lose_no_request(mesh, tmp_path):
    running = mesh("blue-green")
    # The same code with a custom section, which Envoy treats as another module.
    name = b"release"
    section = bytes([len(name)]) + name
    other = tmp_path / "pinion.wasm"
    other.write_bytes(MODULE.read_bytes() + bytes([0, len(section)]) + section)

    async def walk() -> int:
        done, seen, browser = False, 0, running.browser()

        async def load() -> None:
            nonlocal seen
            while not done:
                assert served(await browser.request(**HOW)) == "system-blue"
                seen += 1

        task = asyncio.create_task(load())
        for module in (other, MODULE):
            before = seen
            await asyncio.to_thread(running.apply, None, module)

            async def running_on(module=module) -> bool:
                text = await asyncio.to_thread(running.gateway.admin, "/config_dump?resource=ecds_filters")
                return f'"{module}"' in text and seen > before + 50

            await until(running_on, running.gateway.log)
        done = True
        await task
        return len(browser.cookies)

    assert asyncio.run(walk()) == 1


def test_the_first_plugin_of_a_running_gateway():
    """Runs on the newest Envoy. Up to 1.37 the proxy may crash here, and Kubernetes restarts its container."""
    running = Mesh("blue-green", envoy.installed(envoy.NEWEST))
    everything = list(running.documents)
    running.documents = [each for each in everything if each["kind"] != "WasmPlugin"]
    with running:
        before = asyncio.run(running.ask(host="test.example.com"))
        assert (served(before), before.get("x-app-version")) == ("system-blue", None)
        running.documents = everything
        running.apply()

        async def decided() -> bool:
            with suppress(AssertionError):
                response = await running.ask(host="test.example.com")
                return (served(response), response.get("x-app-version")) == ("system-green", "2.0-SNAPSHOT")

        asyncio.run(until(decided, running.gateway.log))


def test_from_the_weights_of_a_virtual_service_and_back():
    """Runs on the newest Envoy, because a running gateway gets its first plugin."""
    running = Mesh("canary", envoy.installed(envoy.NEWEST))
    how = {"host": "shop.example.com"}
    pinned = list(running.documents)
    plain = [each for each in pinned if each["metadata"]["name"] != "pinion-edge"]
    service = running.find("VirtualService", "shop")["spec"]
    matching, last = service["http"]
    [stable], [other] = last["route"], matching["route"]
    # Both versions have routes. Otherwise the weights would apply to clients of the stable version.
    named = [matching, {**last, "name": "stable", "match": [{"headers": {"x-app-version": {"exact": "v1"}}}]}]
    weighted = {"name": "weighted", "route": [{**stable, "weight": 25}, {**other, "weight": 75}]}

    async def walk() -> None:
        done, clients = False, [running.browser() for _ in range(40)]

        async def load() -> None:
            browser = running.browser()
            while not done:
                served(await browser.request(**how))
            await browser.close()

        async def anew(client) -> str:
            # A connection that is older than the plugin does not use it until the connection is drained.
            await client.close()
            return served(await client.request(**how))

        async def places(times: int) -> list[set[str]]:
            return [{await anew(each) for _ in range(times)} for each in clients]

        async def apply(documents: list[dict], routes: list[dict]) -> None:
            service["http"] = routes
            await asyncio.to_thread(running.apply, documents)

        async def pins(wanted: bool) -> None:
            async def so() -> bool:
                return all([((await running.ask(**how)).get("set-cookie") is not None) == wanted for _ in range(20)])

            await until(so, running.gateway.log)

        task = asyncio.create_task(load())
        flipping = await places(6)
        assert any(len(each) == 2 for each in flipping)
        await apply(plain, [*named, weighted])
        await apply(pinned, [*named, weighted])
        await pins(True)
        before = await places(3)
        await apply(pinned, [matching, last])
        assert all(len(each) == 1 for each in before) and await places(3) == before
        # The rollback.
        await apply(pinned, [*named, weighted])
        assert await places(2) == before
        await apply(plain, [*named, weighted])
        await pins(False)
        await apply(plain, [weighted])
        done = True
        await task
        for each in clients:
            await each.close()

    service["http"] = [weighted]
    running.documents = plain
    with running:
        asyncio.run(walk())
