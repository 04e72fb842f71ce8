"""The JavaScript twin says what Python says: single hashes, other alphabets, ten thousand people."""

import json
import random
import subprocess

import msgspec
import numpy as np
import pytest

from ab_testing.growthbook import bucket, fnv1a32, ranges_of
from ab_testing.routing import point
from infra.contracts import Phase
from tests.ab_testing.assignment_people import (
    SCRIPT,
    assigned,
    experiment,
    in_process,
    node_command,
    snapshots,
    with_mode,
)

PROGRAM = """
const a = require(process.argv[1]), c = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify({
  points: c.texts.map(([salt, user]) => a.point(salt, user).toString(16)),
  hashes: c.texts.map(([salt, user]) => [a.fnv1a32(user), a.bucket(salt, user, 1), a.bucket(salt, user, 2)]),
  ranges: c.ranges.map(([n, coverage]) => a.rangesOf(n, coverage)),
}));
"""


def _text(draw: random.Random) -> str:
    """Any code points, halves of surrogate pairs included; lengths around the block of 128 bytes."""
    kinds = ((0, 0x80), (0x80, 0x800), (0x800, 0xD800), (0xD800, 0xE000), (0xE000, 0x10000), (0x10000, 0x110000))
    length = draw.choice((0, 1, 2, 7, 32, 63, 64, 127, 128, 129, 255, 256, 300))
    one_kind = draw.choice(kinds) if draw.random() < 0.5 else None
    return "".join(chr(draw.randrange(*(one_kind or draw.choice(kinds)))) for _ in range(length))


def test_hashes_agree_on_every_text() -> None:
    draw = random.Random(5)
    texts = [[_text(draw), _text(draw)] for _ in range(600)] + [["salt", "user-1"]]
    ranges = [[n, coverage] for n in (2, 3, 4) for coverage in (0.02, 1 / 3, 0.5, 1.0)]
    asked = json.dumps({"texts": texts, "ranges": ranges})
    done = subprocess.run(
        [node_command()[0], "-e", PROGRAM, str(SCRIPT)], input=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["points"] == [f"{point(salt, user):x}" for salt, user in texts]
    assert said["points"][-1] == "d46de710705da6db"  # printf 'salt\0user-1' | b2sum -l 64
    assert said["hashes"] == [[fnv1a32(u), bucket(s, u, 1), bucket(s, u, 2)] for s, u in texts]
    assert said["ranges"] == [[list(pair) for pair in ranges_of(n, coverage)] for n, coverage in ranges]


@pytest.mark.parametrize("mode", ["own", "growthbook_v1", "growthbook_v2"])
def test_ten_thousand_people_get_the_same_arms(mode: str, tmp_path: object) -> None:
    """With other salts, overlapping slots, one experiment for everybody, and edges that are no round numbers."""
    uneven, left = Phase(3, 0.1, 0.0, (0.15, 1 / 6, 0.07)), {"dropped": ["challenger-2"]}
    whole = {"project": "shop", "holdout_share": 0.0}
    more = [
        {**whole, "experiments": [experiment("a", 1 / 6, others=("o@1", "o@2"), salt="ü😀")]},
        {**whole, "experiments": [experiment("a", 0.1 + 0.2, slot=(0.1, 1.0)), experiment("b", 0.01, slot=(0, 0.7))]},
        {**whole, "experiments": [experiment("a", 0.2, others=("o@1", "o@2"), config={"dropped": ["challenger-2"]})]},
        {**whole, "experiments": [experiment("a", 0.1, others=("o@1", "o@2"), phases=(uneven,))]},
        {**whole, "experiments": [experiment("a", 0.1, others=("o@1", "o@2"), phases=(uneven,), config=left)]},
        {**whole, "experiments": [experiment("s", 0.5, kind="sentinel", started_at=0.0)], "holdout_share": 0.2},
        {**whole, "experiments": [experiment("a", 0.5, kind="holdback")], "holdout_share": 1 / 3},
    ]
    made = with_mode([*snapshots(), *msgspec.to_builtins(more)], mode)
    task = {"snapshots": made, "people": 10_000 if mode == "own" else 1_500}
    codes, meanings = assigned(task)
    said, said_meanings = in_process(node_command(), task, tmp_path)  # type: ignore[arg-type]
    assert np.array_equal(codes, said)
    assert meanings == said_meanings
    assert len(meanings) > 30
