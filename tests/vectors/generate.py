"""Writes the vectors of this folder, or into another that is named, with the code of docs/assignment.md, which
shares nothing with the filter's.
"""

import itertools
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent


def reference() -> dict:
    """The names that the page's code defines."""
    page = (HERE.parents[1] / "docs" / "assignment.md").read_text()
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], names)
    return names


def slots() -> list[dict]:
    slot_of_key = reference()["slot_of_key"]
    keys = ["alice", "bob", "", "a|b", "日本", "\u00ff", "x" * 200]
    inputs = itertools.product(["web-api", "shop", "a"], [0, 1, 4294967295], keys)
    return [
        {"app": app, "epoch": epoch, "key": key.encode().hex(), "slot": slot_of_key(app, epoch, key.encode())}
        for app, epoch, key in inputs
    ]


def layouts() -> list[dict]:
    layout = reference()["layout"]
    shares = [
        [],
        [0],
        [10],
        [100],
        [0.001],
        [10, 20],
        [50, 50],
        [33.333, 33.333],
        [1, 2, 3],
        [60, 0, 10],
        [10, 40, 20],
        [45, 10, 0, 10],
        [20, 20, 20, 20],
        [5, 5, 5, 5, 5, 5, 5, 5, 5],
        [12.5, 0, 37.5, 25, 0.125, 24.875],
        [0, 0, 0, 0, 90, 0, 9.999],
    ]
    vectors = []
    for row in shares:
        others = [(f"v{i + 1}", weight) for i, weight in enumerate(row)]
        runs, end = [], 0
        for owner, slots in itertools.groupby(layout("stable", others)):
            end += len(list(slots))
            runs.append([end, owner])
        vectors.append({"others": others, "runs": runs})
    return vectors


def write(path: pathlib.Path, vectors: list[dict]) -> None:
    lines = ",\n".join("  " + json.dumps(vector) for vector in vectors)
    path.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    write(folder / "slots.json", slots())
    write(folder / "layouts.json", layouts())
