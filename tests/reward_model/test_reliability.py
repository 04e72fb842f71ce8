"""Reliability by person: ordered, bounded, and what tells liars from people."""

import numpy as np
import pytest

from reward_model.judgments import gather
from reward_model.rater_noise import fit_raters
from reward_model.reliability import per_person, separation
from tests.reward_model.raters import simulate


def test_liars_are_told_from_people() -> None:
    rates = np.where(np.arange(40) < 6, 0.95, 0.1)
    made = simulate(rates, 400, 3)
    people = per_person(made.judgments, fit_raters(made.judgments))
    assert {one.person for one in people[:6]} == {f"p{k}" for k in range(6)}
    assert separation(people, [f"p{k}" for k in range(6)]) == 1.0
    assert all(one.low <= one.reliability <= one.high for one in people)
    assert sum(one.judgments for one in people) == 1200
    inside = [one.low <= 1 - rates[int(one.person[1:])] <= one.high for one in people]
    assert np.mean(inside) > 0.8


def test_strangers_are_left_out_and_two_sources_are_one_person() -> None:
    judgments = gather(
        np.array([0, 0, 1, 1]),
        np.array([1.0, 1.0, 1.0, 1.0]),
        people=["ann", None, "ann", "bob"],
        sources=["duel", "duel", "edit", "edit"],
    )
    people = per_person(judgments, fit_raters(judgments))
    assert sorted((one.person, one.judgments) for one in people) == [("ann", 2), ("bob", 1)]


def test_separation_by_hand_and_refused_without_both_sides() -> None:
    made = simulate(np.array([0.9, 0.1, 0.1, 0.1]), 60, 3)
    people = per_person(made.judgments, fit_raters(made.judgments))
    assert separation(people, ["p0"]) == 1.0
    assert separation(people, ["p1", "p2", "p3"]) == 0.0
    with pytest.raises(ValueError, match="0 of 4"):
        separation(people, ["nobody"])
