"""The costs of the shipped module are within its budget."""

import pytest

from cost import NOW, exchange
from cost.budget import broken, measured, read
from cost.scenarios import NEW, NOWHERE, PINNED, RULE, all_of
from harness.envoy import MODULE


def test_each_scenario_is_within_the_budget():
    wrong = broken(*read(), measured())
    lines = "\n".join(wrong)
    assert not wrong, f"if the change is intended, `make budget` writes the new budget\n{lines}"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"a": {"hostCalls": 3, "instructions": 1049}}, []),
        ({"a": {"hostCalls": 3, "instructions": 1051}}, ["a: 1,051 instructions, the budget is 1,000"]),
        ({"a": {"hostCalls": 3, "instructions": 949}}, ["a: 949 instructions, the budget is 1,000"]),
        ({"a": {"hostCalls": 4, "instructions": 1000}}, ["a: 4 hostCalls, the budget is 3"]),
        ({}, ["a: is not in both the budget and the scenarios"]),
    ],
)
def test_a_figure_outside_the_slack_is_reported(changed, expected):
    assert broken(5, {"a": {"hostCalls": 3, "instructions": 1000}}, changed) == expected


def test_each_scenario_does_what_its_name_says():
    # The version in the route header, the label in the response, and the number of cookies that the response sets.
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
