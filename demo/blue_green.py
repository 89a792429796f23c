"""Blue-green by host, with a swap while Envoy runs."""

from .report import Scenario
from .stage import Stage, names, served, visit

NAME = "blue-green"
TITLE = "Blue-green"
ABOUT = (
    "blue (1.0-SNAPSHOT) serves example.com, and green (2.0-SNAPSHOT) serves test.example.com. Then an update of the "
    "filter's configuration swaps them while Envoy runs."
)
CURL = ["curl -i -H 'Host: example.com' localhost:{port}", "curl -i -H 'Host: test.example.com' localhost:{port}"]

HOSTS = ["example.com", "test.example.com"]


async def run(stage: Stage, scenario: Scenario) -> None:
    async def look(when: str, expected: dict[str, tuple[str, str]]) -> None:
        for host in HOSTS:
            response = await stage.ask(host=host)
            seen = (served(response), response.get("x-app-version"))
            scenario.check(f"{when}: {host}", " ".join(expected[host]), " ".join(map(str, seen)))

    blue, green = ("blue", "1.0-SNAPSHOT"), ("green", "2.0-SNAPSHOT")
    await look("before", dict(zip(HOSTS, [blue, green])))
    clients = stage.browsers(50)
    scenario.progress("50 clients of example.com are pinned to blue")
    before = await visit(clients, 2, host="example.com")
    scenario.check("before: versions that served 50 clients", "blue", names(before))

    def swap(config: dict) -> None:
        app = config["apps"][0]
        app["stable"], app["rules"][0]["version"] = app["rules"][0]["version"], app["stable"]

    async def swapped() -> bool:
        return served(await stage.ask(host="example.com")) == "green"

    scenario.progress("the stable version and the rule's version swap")
    await stage.update(swap, swapped)
    after = await visit(clients, 2, host="example.com")
    scenario.check("after: versions that served the same clients", "green", names(after))
    await look("after", dict(zip(HOSTS, [green, blue])))
    for client in clients:
        await client.close()
