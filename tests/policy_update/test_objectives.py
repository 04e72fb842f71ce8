"""Rewards as training reads them, and as probabilities again."""

import numpy as np
import pytest
import torch

from policy_update.objectives import (
    NoObjective,
    UnknownLimit,
    assemble,
    available_objectives,
    head_reward,
    predicted_rates,
    with_limits,
)


def test_probabilities_come_back_and_what_is_none_stays_out() -> None:
    scores = np.array([[0.2, 0.01, 3.0], [0.7, 0.05, -1.0]])
    names = ("love", "harm", "utility", "coherence")
    made = assemble(names, ("love", "harm", "utility"), scores, np.zeros((2, 3)), {"coherence": torch.zeros(2)})
    rewards = {name: made.column(name) for name in names}
    found = predicted_rates(rewards, ("love", "harm", "utility"))
    assert set(found) == {"love", "harm"}
    assert found["love"] == pytest.approx([0.2, 0.7])
    assert found["harm"] == pytest.approx([0.01, 0.05])


def test_mean_minus_k_spread_by_hand() -> None:
    # p = 0.2: log-odds -ln 4, error 0.04 / (0.2 * 0.8) = 0.25; k = 2.
    value, error = head_reward("love", np.array([0.2]), np.array([0.04]), penalty=2.0)
    assert value == pytest.approx([-np.log(4) - 0.5])
    assert error == pytest.approx([0.25])
    value, _ = head_reward("harm", np.array([0.2, 0.99]), np.array([0.04, 0.04]), penalty=2.0)
    assert value == pytest.approx([0.28, 1.0]), "a cost is raised, and stays a probability"
    value, error = head_reward("utility", np.array([1.0, 900.0]), np.array([0.5, 0.5]), 1.0, utility_bound=2.0)
    assert value == pytest.approx([2 * np.tanh(0.25), 2.0])
    assert error == pytest.approx([0.5 * (1 - np.tanh(0.25) ** 2), 0.0])


@pytest.mark.parametrize("penalty", [0.0, 1.0, 1e9])
def test_every_head_is_bounded_whatever_it_says(penalty: float) -> None:
    scores, error = np.array([0.0, 1e-12, 0.5, 1.0]), np.array([0.0, 0.4, 0.1, 0.4])
    for name, most in (("love", 9.3), ("harm", 1.0), ("utility", 6.0)):
        value, _ = head_reward(name, scores * (1e6 if name == "utility" else 1), error, penalty, utility_bound=6.0)
        assert (np.abs(value) <= most).all()


def test_what_nothing_measures_is_left_out_but_not_everything() -> None:
    scorer = type("Scorer", (), {"objectives": ("love",), "recipe": None})()
    wanted = {"love": 1.0, "lvoe": 2.0, "coherence": 0.0, "brief": -1.0}
    assert available_objectives(scorer, wanted, ["brief"]) == {"love": 1.0, "brief": -1.0}
    with pytest.raises(NoObjective, match=r"not measured: lvoe.*there are brief, coherence, love, relevance"):
        available_objectives(scorer, {"lvoe": 1.0, "love": 0.0}, ["brief"])


def test_limits_are_measured_at_no_weight() -> None:
    scorer = type("Scorer", (), {"objectives": ("love", "harm")})()
    assert with_limits({"love": 1.0}, ["harm", "claims"], scorer, ["claims"]) == {
        "love": 1.0,
        "harm": 0.0,
        "claims": 0.0,
    }
    with pytest.raises(UnknownLimit, match="names 'share'"):
        with_limits({"love": 1.0}, ["share"], scorer, [])
