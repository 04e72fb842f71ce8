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

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden_growthbook.json").read_text())


def test_hashes_are_the_sdk_s() -> None:
    assert [[text, fnv1a32(text)] for text, _ in GOLDEN["fnv1a32"]] == GOLDEN["fnv1a32"]
    for seed, value, first, second in GOLDEN["buckets"]:
        assert (bucket(seed, value, 1), bucket(seed, value, 2)) == (first, second), (seed, value)


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
