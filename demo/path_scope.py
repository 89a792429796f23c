"""An app that covers only some paths."""

from collections import Counter

from .report import Scenario
from .stage import Stage, flips, served, visit, within

NAME = "path-scope"
TITLE = "Path scope"
ABOUT = "/web-api/v1 has two versions, 80 % v1 and 20 % v2. Requests for /openapi and / pass unchanged."
CURL = ["curl -i localhost:{port}/web-api/v1/getmultiple", "curl -i localhost:{port}/openapi"]

NEW_CLIENTS = 2000
PATH = "/web-api/v1/getmultiple"


async def run(stage: Stage, scenario: Scenario) -> None:
    scenario.progress(f"{NEW_CLIENTS} new clients request {PATH}")
    shares = await stage.shares(NEW_CLIENTS, PATH)
    for version, share in [("v1", 0.8), ("v2", 0.2)]:
        expected, holds = within(share, NEW_CLIENTS)
        scenario.check(f"new clients on {version}", expected, shares[version], holds=holds)
    clients = stage.browsers(100)
    scenario.check("flips of 100 returning clients", 0, flips(await visit(clients, 10, path=PATH)))
    for client in clients:
        await client.close()
    for path in ["/openapi", "/openapi/ui/", "/", "/web-api/v10"]:
        response = await stage.ask(path, headers=[("x-app-version", "v2")])
        seen = Counter({"route header": len(response.echo().all("x-app-version"))})
        seen["stamp"] = len(response.all("x-app-version"))
        seen["cookie"] = len(response.all("set-cookie"))
        added = [what for what, count in seen.items() if count]
        scenario.check(path, "unversioned, unchanged", f"{served(response)}, {', '.join(added) or 'unchanged'}")
