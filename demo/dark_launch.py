"""A dark version that only testers reach."""

from .report import Scenario
from .stage import Stage, names, served, visit

NAME = "dark-launch"
TITLE = "Dark launch"
ABOUT = "v2 has no share. Testers reach it by a header or a cookie. v1 serves all other clients."
CURL = [
    "curl -i localhost:{port}",
    "curl -i -H 'end-user: tester' localhost:{port}",
    "curl -i -b group=testers localhost:{port}",
    "curl -i -H 'x-app-version: v2' localhost:{port}",
]


async def run(stage: Stage, scenario: Scenario) -> None:
    scenario.check("end-user: tester", "v2", served(await stage.ask(headers=[("end-user", "tester")])))
    scenario.check("cookie: group=testers", "v2", served(await stage.ask(headers=[("cookie", "a=b; group=testers")])))
    scenario.check("end-user: jason", "v1", served(await stage.ask(headers=[("end-user", "jason")])))
    others = stage.browsers(200)
    scenario.check("400 requests of 200 other clients", "v1", names(await visit(others, 2)))
    for what, headers in [
        ("a client's own x-app-version: v2", [("x-app-version", "v2")]),
        ("the same header twice", [("x-app-version", "v2"), ("x-app-version", "v2")]),
        ("a pin to v2 written by hand", [("cookie", "pinion-reviews=v2~1790000000~0~0")]),
    ]:
        response = await stage.ask(headers=headers)
        seen = f"{served(response)}, with x-app-version: {' and '.join(response.echo().all('x-app-version'))}"
        scenario.check(what, "v1, with x-app-version: v1", seen)
    tester = stage.browsers(1)[0]
    asked = [served(await tester.request(headers=headers)) for headers in ([("end-user", "tester")], [])]
    scenario.check("a tester, then the same client without the header", "v2 then v1", " then ".join(asked))
    for client in [tester, *others]:
        await client.close()
