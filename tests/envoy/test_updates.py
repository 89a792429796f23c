"""A configuration that changes while Envoy runs."""

import asyncio
import json
import re
import time

from harness.client import Connection
from harness.envoy import ROOT, Envoy, load, walk
from harness.upstream import Upstream


def swapped(value: str) -> str:
    config = json.loads(value)
    config["apps"][0].update(stable="green")
    return json.dumps(config)


def refused(value: str) -> str:
    config = json.loads(value)
    config["apps"][0].update(stable="purple")
    return json.dumps(config)


def with_config(change) -> dict:
    resources = load(ROOT / "envoy" / "blue-green.pinion.yaml")
    walk(resources, lambda node: node.update(value=change(node["value"])) if "value" in node else None)
    return resources


def wait_for(done) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_a_refused_update_leaves_the_old_configuration_serving(binary, start):
    blue, green = start(Upstream("blue")), start(Upstream("green"))
    bootstrap = load(ROOT / "envoy" / "blue-green.yaml")
    envoy = start(Envoy(bootstrap, binary=binary, clusters={"blue": blue.port, "green": green.port}))

    def serving() -> str:
        response = asyncio.run(Connection(envoy.port()).request(host="example.com"))
        assert response.status == 200
        return response.echo().version

    assert serving() == "blue"
    envoy.update(with_config(refused))
    wait_for(lambda: "configuration refused" in envoy.log())
    said = set(re.findall("configuration refused: (.*)", envoy.log()))
    assert said == {'apps[0].stable: "purple" is not a version of this app'}
    assert serving() == "blue"
    envoy.update(with_config(swapped))
    wait_for(lambda: serving() == "green")


def test_requests_get_500_while_the_first_configuration_of_all_is_refused(binary, start):
    blue = start(Upstream("blue"))
    envoy = Envoy(load(ROOT / "envoy" / "blue-green.yaml"), binary=binary, clusters={"blue": blue.port})
    envoy.update(with_config(refused))
    start(envoy)
    wait_for(lambda: "configuration refused" in envoy.log())
    assert asyncio.run(Connection(envoy.port()).request(host="example.com")).status == 500
    envoy.update(with_config(lambda value: value))
    wait_for(lambda: asyncio.run(Connection(envoy.port()).request(host="example.com")).status == 200)
