"""GrowthBook's hashing, against values frozen from its own SDK (`tests/oracles/freeze_growthbook.py`)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ab_testing.growthbook import bucket, fnv1a32, mass, namespace_bucket, ranges_of
from ab_testing.layers import Router
from infra.settings.ab_routing import HashMode
from tests.ab_testing.assignment_people import assigned, experiment, moved, snapshots, with_mode

HASHES = (
    ("", "a", 1, 0.22), ("", "b", 1, 0.077), ("b", "a", 1, 0.946), ("ef", "d", 1, 0.652),
    ("asdf", "8952klfjas09ujk", 1, 0.549), ("", "123", 1, 0.011), ("", '___)((*":&', 1, 0.563),
    ("seed", "a", 2, 0.0505), ("seed", "b", 2, 0.2696), ("foo", "ab", 2, 0.2575), ("foo", "def", 2, 0.2019),
    ("89123klj", "8952klfjas09ujkasdf", 2, 0.124), ("90850943850283058242805", "123", 2, 0.7516),
    ("()**(%$##$%#$#", '___)((*":&', 2, 0.0128),
)  # fmt: skip
"""Of packages/sdk-js/test/cases.json, specification 0.5.4, to which every SDK of theirs is held."""
RANGES: tuple[tuple[int, float, list[float] | None, list[tuple[float, float]]], ...] = (
    (2, 1, None, [(0, 0.5), (0.5, 1)]), (2, 0.5, None, [(0, 0.25), (0.5, 0.75)]), (2, 0, None, [(0, 0), (0.5, 0.5)]),
    (4, 1, None, [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]), (2, 1, [0.4, 0.6], [(0, 0.4), (0.4, 1)]),
    (3, 1, [0.2, 0.3, 0.5], [(0, 0.2), (0.2, 0.5), (0.5, 1)]),
    (3, 0.2, [0.2, 0.3, 0.5], [(0, 0.04), (0.2, 0.26), (0.5, 0.6)]), (2, -0.2, None, [(0, 0), (0.5, 0.5)]),
    (2, 1.5, None, [(0, 0.5), (0.5, 1)]), (2, 1, [0.4, 0.1], [(0, 0.5), (0.5, 1)]),
    (2, 1, [0.7, 0.6], [(0, 0.5), (0.5, 1)]),
    (4, 1, [0.4, 0.4, 0.2], [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]),
    (2, 1, [0.4, 0.5999], [(0, 0.4), (0.4, 0.9999)]),
)  # fmt: skip
"""Of the same: variations, coverage, weights, ranges; compared to six digits there."""
GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden_growthbook.json").read_text())


def test_hashes_are_the_sdk_s() -> None:
    assert [[text, fnv1a32(text)] for text, _ in GOLDEN["fnv1a32"]] == GOLDEN["fnv1a32"]
    for seed, value, first, second in GOLDEN["buckets"]:
        assert (bucket(seed, value, 1), bucket(seed, value, 2)) == (first, second), (seed, value)


def test_hashes_and_ranges_of_the_conformance_cases() -> None:
    for seed, value, version, expected in HASHES:
        assert bucket(seed, value, 1 if version == 1 else 2) == expected, (seed, value, version)
    for variations, coverage, weights, ranges in RANGES:
        found = ranges_of(variations, coverage, weights)
        assert np.array(found) == pytest.approx(np.array(ranges), abs=1e-12), (variations, coverage, weights)
    assert fnv1a32("hello") == 1_335_831_723
    three = [("exp1", "user-1", 0.718, 0.3993), ("exp1", "user-42", 0.369, 0.2066), ("exp-a", "ü", 0.468, 0.3901)]
    for seed, value, first, second in three:
        assert (bucket(seed, value, 1), bucket(seed, value, 2)) == (first, second)


def test_namespaces_and_ranges_are_the_sdk_s() -> None:
    for person, low, inside in GOLDEN["namespaces"]:
        assert (low <= namespace_bucket("shop", person) < low + 0.25) == inside
    for variations, coverage, weights, found in GOLDEN["ranges"]:
        assert ranges_of(variations, coverage, weights) == [tuple(pair) for pair in found]


@pytest.mark.parametrize("run", GOLDEN["runs"], ids=lambda run: run[0])
def test_people_get_the_arms_the_sdk_gives_them(run: list[Any]) -> None:
    seed, version, variations, coverage, namespace, found = run
    mode: HashMode = "growthbook_v1" if version == 1 else "growthbook_v2"
    slot = (0.0, 1.0) if namespace is None else (namespace[1], namespace[2])
    others = tuple(f"o@{n}" for n in range(2, variations))
    one = experiment("e", coverage / variations, others=others, salt=seed, slot=slot)
    draw, names = Router("shop", [one], hash_mode=mode).draw, ["control", "challenger", "challenger-2", "challenger-3"]
    for person, variation in found:
        got = draw(person)
        assert (None if got is None else got.arm) == (None if variation is None else names[variation]), person


@pytest.mark.parametrize("mode", ["growthbook_v1", "growthbook_v2"])
def test_a_growing_ramp_moves_nobody(mode: str) -> None:
    made = with_mode(snapshots(), mode)
    codes, meanings = assigned({"snapshots": made, "people": 3_000})
    assert moved(codes, [sorted(row["experiment_id"] for row in snapshot["experiments"]) for snapshot in made]) == 0
    # What is logged as the probability is how often it happens: six standard errors among those drawn on.
    for step in range(len(made)):
        for place in (0, 1):
            drawn = codes[step][(codes[step] > 16 * place) & (codes[step] <= 16 * place + 16)]
            for code in np.unique(drawn):
                said = meanings[f"{step}:{code}"]["propensity"]
                assert abs(np.mean(drawn == code) - said) < 6 * np.sqrt(max(said * (1 - said), 1e-3) / len(drawn))


def test_probabilities_are_exact_on_the_grid() -> None:
    assert mass((0.0, 1 / 3), 1) == 0.334  # 0, .001, ..., .333
    assert mass((0.5, 0.55), 2) == 0.05
