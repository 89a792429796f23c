"""A canary whose clients keep their version, and a rising share that moves each client at most once."""

from .report import Scenario
from .stage import Stage, flips, names, served, visit, within

NAME = "canary"
TITLE = "Canary"
ABOUT = (
    "A website with three versions: 90 % version-1, 10 % version-2, version-3 dark. Returning clients keep their "
    "version. Then the share of version-2 rises to 50 % while Envoy runs."
)
CURL = ["curl -i localhost:{port}", "curl -i -H 'x-preview: 3' localhost:{port}"]

NEW_CLIENTS = 4000
COOKIE = "pinion-website"


async def run(stage: Stage, scenario: Scenario) -> None:
    scenario.progress(f"{NEW_CLIENTS} new clients send a request each")
    shares = await stage.shares(NEW_CLIENTS)
    for version, share in [("version-1", 0.9), ("version-2", 0.1)]:
        expected, holds = within(share, NEW_CLIENTS)
        scenario.check(f"new clients on {version}", expected, shares[version], holds=holds)
    scenario.check("new clients on version-3, which is dark", 0, shares["version-3"])
    scenario.check("with x-preview: 3", "version-3", served(await stage.ask(headers=[("x-preview", "3")])))

    scenario.progress("100 clients send 20 requests each")
    clients = stage.browsers(100)
    before = await visit(clients, 20)
    scenario.check("flips in 2,000 requests of 100 returning clients", 0, flips(before))
    home = [seen[-1] for seen in before]
    slots = [int(client.cookies[COOKIE].split("~")[3]) for client in clients]

    def half(config: dict) -> None:
        first, second, _ = config["apps"][0]["versions"]
        first["weight"] = second["weight"] = 50

    # This client's slot lies between the old and the new share, so its version shows when the update is active.
    witness = [("cookie", f"{COOKIE}={clients[0].cookies[COOKIE].rsplit('~', 1)[0]}~30000")]

    async def rises() -> bool:
        return served(await stage.ask(headers=witness)) == "version-2"

    scenario.progress("90/10 becomes 50/50; the same clients send 20 requests each")
    await stage.update(half, rises)
    after = await visit(clients, 20)
    moved = {i for i, seen in enumerate(after) if seen[-1] != home[i]}
    due = {i for i, slot in enumerate(slots) if 10_000 <= slot < 50_000}
    journeys = [[home[i], *after[i]] for i in range(len(clients))]
    scenario.check("clients that moved", f"the {len(due)} whose slot is in the added share", f"{len(moved & due)} of them, {len(moved - due)} others",
                   holds=lambda _: moved == due)  # fmt: skip
    scenario.check("their new version", "version-2", names(after[i] for i in moved))
    scenario.check("moves of each client", "one", f"{flips(journeys)} moves of {len(moved)} clients",
                   holds=lambda _: flips(journeys) == len(moved))  # fmt: skip
    scenario.check("clients that left version-2", 0, sum(home[i] == "version-2" for i in moved))
    shares = await stage.shares(NEW_CLIENTS)
    expected, holds = within(0.5, NEW_CLIENTS)
    scenario.check("new clients on version-2", expected, shares["version-2"], holds=holds)
    for client in clients:
        await client.close()
