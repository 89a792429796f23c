"""The shipped module costs what its budget says, within the slack."""

import pytest

from cost import NOW, exchange
from cost.budget import broken, measured, read
from cost.scenarios import NEW, NOWHERE, PINNED, RULE, all_of
from harness.envoy import MODULE


def test_each_scenario_costs_what_the_budget_says():
    wrong = broken(*read(), measured())
    said = "\n".join(wrong)
    assert not wrong, f"a change of the price is to be meant: `make budget` writes what it is now\n{said}"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"a": {"hostCalls": 3, "instructions": 1049}}, []),
        ({"a": {"hostCalls": 3, "instructions": 1051}}, ["a: 1,051 instructions, where the budget has 1,000"]),
        ({"a": {"hostCalls": 3, "instructions": 949}}, ["a: 949 instructions, where the budget has 1,000"]),
        ({"a": {"hostCalls": 4, "instructions": 1000}}, ["a: 4 hostCalls, where the budget has 3"]),
        ({}, ["a: only one of budget and scenarios has it"]),
    ],
)
def test_what_is_beyond_the_slack_is_told(changed, says):
    assert broken(5, {"a": {"hostCalls": 3, "instructions": 1000}}, changed) == says


def test_each_scenario_does_what_it_is_called():
    # What the request routes on, what the response shows, and how many cookies it sets.
    outcome = {PINNED: ("v1", "1.0", 0), NEW: (None, None, 1), RULE: ("v2", "2.0", 0), NOWHERE: (None, None, 0)}
    for scenario in all_of(NOW):
        _, seen = exchange(MODULE, scenario)
        kind = next((kind for kind in outcome if scenario.name.startswith(kind)), PINNED)
        version, label, cookies = outcome[kind]
        route, shown = dict(seen.request).get("x-app-version"), dict(seen.response).get("x-app-version")
        given = [value for name, value in seen.response if name == "set-cookie"]
        assert len(given) == cookies, scenario.name
        if kind == NEW:
            assert given[0].startswith(f"pinion-shop={route}~"), scenario.name
        else:
            assert (route, shown) == (version, label), scenario.name
