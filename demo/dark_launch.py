"""A dark version that testers reach and nobody else."""

from .report import Scenario
from .stage import Stage, names, served, visit

NAME = "dark-launch"
TITLE = "Dark launch"
ABOUT = "v2 takes no share. Testers reach it by a header or a cookie; everybody else is served by v1."
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
    scenario.check("400 requests of 200 others", "v1", names(await visit(others, 2)))
    for what, headers in [
        ("a spoofed x-app-version: v2", [("x-app-version", "v2")]),
        ("the same twice", [("x-app-version", "v2"), ("x-app-version", "v2")]),
        ("a pin to v2 written by hand", [("cookie", "pinion-reviews=v2~1790000000~0~0")]),
    ]:
        response = await stage.ask(headers=headers)
        reached = response.echo().all("x-app-version")
        scenario.check(what, "v1, told v1", f"{served(response)}, told {' and '.join(reached)}")
    tester = stage.browsers(1)[0]
    asked = [served(await tester.request(headers=headers)) for headers in ([("end-user", "tester")], [])]
    scenario.check("a tester who stops being one", "v2 then v1", " then ".join(asked))
    for client in [tester, *others]:
        await client.close()
