"""Writes the vectors of this folder, or into another that is named, with the code of docs/assignment.md and
docs/pins.md, which shares nothing with the filter's.
"""

import itertools
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent


def reference(page: str) -> dict:
    """The names that a page's code defines."""
    page = (HERE.parents[1] / "docs" / page).read_text()
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], names)
    return names


def slots() -> list[dict]:
    slot_of_key = reference("assignment.md")["slot_of_key"]
    keys = ["alice", "bob", "", "a|b", "日本", "\u00ff", "x" * 200]
    inputs = itertools.product(["web-api", "shop", "a"], [0, 1, 4294967295], keys)
    return [
        {"app": app, "epoch": epoch, "key": key.encode().hex(), "slot": slot_of_key(app, epoch, key.encode())}
        for app, epoch, key in inputs
    ]


def initial() -> list[dict]:
    slot_of_parts = reference("assignment.md")["slot_of_parts"]
    parts = [["203.0.113.7", "Firefox"], ["203.0.113.7Firefox"], ["alice"], ["alice", "bob"], ["a|b", "c"], ["日本"]]
    inputs = itertools.product(["web-api", "shop"], [0, 4294967295], [None, 0, 497_229], parts)
    return [
        {
            "app": app,
            "epoch": epoch,
            "bucket": bucket,
            "parts": [part.encode().hex() for part in row],
            "slot": slot_of_parts(app, epoch, bucket, [part.encode() for part in row]),
        }
        for app, epoch, bucket, row in inputs
    ]


def layouts() -> list[dict]:
    layout = reference("assignment.md")["layout"]
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


def seals() -> list[dict]:
    names = reference("pins.md")
    keys = [("k1", b"the first key, which is long enough"), ("2026-11", bytes(range(256)))]
    versions = ["v1", "2.0-SNAPSHOT", "a" * 63]
    vectors = []
    for (key_id, key), version, app in itertools.product(keys, versions, ["shop", "web-api"]):
        common = {"key": key.hex(), "id": key_id, "app": app}
        pin = names["signed_pin"](key, key_id, app, version, 1795226466, 7, 48280)
        token = names["token"](key, key_id, app, version, 1795230000)
        vectors += [{**common, "pin": pin}, {**common, "token": token}]
    return vectors


def write(path: pathlib.Path, vectors: list[dict]) -> None:
    lines = ",\n".join("  " + json.dumps(vector) for vector in vectors)
    path.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    write(folder / "slots.json", slots())
    write(folder / "initial.json", initial())
    write(folder / "layouts.json", layouts())
    write(folder / "seals.json", seals())
