"""One rollout small enough for paper and pencil, and the loss every recipe has on it.

One prompt, two answers with rewards 0 and 1, of one and two tokens, at most 4. Old log-probabilities -3; -1, -1. The
policy moved by the ratios 0.5; 1.5, 1.1. Group-normalised advantages are -1; 1. So with clip 0.2 the tokens' losses are
0.8; -1.2, -1.1 (the first is held at 0.8 from below, the second at 1.2 from above), and with clip_high 0.28 the second
is -1.28.
"""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from policy_update.algebra.experience import Experience, Totals
from policy_update.algebra.options import Option, recipe_named
from policy_update.algebra.table import RECIPES


def tensor(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


OLD = tensor([-3.0, 0.0], [-1.0, -1.0])
NEW = OLD + tensor([math.log(0.5), 0.0], [math.log(1.5), math.log(1.1)])
ENTROPIES = tensor([1.0, 0.0], [2.0, 0.5])
TOTALS = Totals(tokens=3.0, answers=2.0, max_tokens=4)


def rollout(**changes: Any) -> Experience:
    fields: dict[str, Any] = {
        "names": ("a",),
        "rewards": tensor([0.0], [1.0])[None],
        "noise": torch.zeros(1, dtype=torch.float64),
        "mask": torch.tensor([[1, 0], [1, 1]]),
        "old_logprobs": OLD,
        "sampler_logprobs": OLD,
        "truncated": torch.tensor([False, False]),
        "max_tokens": 4,
        "reference_logprobs": OLD,
        "entropies": ENTROPIES,
        "values": tensor([0.2, 0.0], [0.3, 0.6]),
        "greedy_rewards": tensor([0.25]),
    }
    return Experience(**{**fields, **changes})


def loss_of(
    name: str,
    options: Mapping[str, Option] | None = None,
    multipliers: Mapping[str, float] | None = None,
    beta: float = 0.0,
    **changes: Any,
) -> float:
    recipe = recipe_named(name, options)
    targets = recipe.prepare(rollout(**changes), torch.ones(1, dtype=torch.float64), multipliers)
    values = tensor([0.7, 0.0], [0.8, 1.1])
    return float(recipe.loss(NEW, targets, TOTALS, beta=beta, entropies=ENTROPIES, values=values).loss)


SCORES = -3 + math.log(0.5), -2 + math.log(1.65)
"""Sums of the new log-probabilities of each answer."""

GOLDEN = {
    # Token mean at clip_high 0.28: (0.8 - 1.28 - 1.1) / 3.
    "gdpo": -1.58 / 3,
    "dapo": -1.58 / 3,  # both answers end well before 0.8 * 4 tokens
    "gfpo": -1.58 / 3,  # of two answers both are kept
    "gppo": -1.58 / 3,  # only its gradient differs
    "softmin": -1.58 / 3,  # of one objective: itself
    "feasibility_first": -1.58 / 3,
    "constrained": -1.58 / 3,
    # Token mean at 0.2: (0.8 - 1.2 - 1.1) / 3.
    "lite_ppo": -0.5,  # centred +-0.5, the batch's spread 0.5
    "l1_exact": -0.5,  # rewards 0 - 1/4 and 1 + 0
    "l1_max": -0.5,  # rewards 0 + (0.25 + 1) / 2 and 1 + 0.5
    # Answers first: (0.8 + (-1.2 - 1.1) / 2) / 2.
    "grpo": -0.175,
    "tis": -0.175,
    "masked_importance": -0.175,
    "unlikeliness": -0.175,  # rewards 0 and 1 - 0.25 / 2
    "grpo_kl_in_reward": -0.175,  # the old policy is the reference
    "grpo_entropy": -0.175 - 0.001 * (1.0 + 1.25) / 2,
    # Advantages -0.5; 0.5, over 2 answers of at most 4 tokens: (0.4 - 0.6 - 0.55) / 8.
    "dr_grpo": -0.75 / 8,
    # Ratios of answers 0.5 and 1.65, advantages -1 and 1: (0.8 - 1.2) / 2.
    "rloo": -0.2,
    # Geometric means 0.5 and 1.2845, clipped to 0.9997 and 1.0004.
    "gspo": (0.9997 - 1.0004) / 2,
    "gspo_token": (0.9997 - 1.0004) / 2,
    # Log-ratios -0.6931 -> -0.4; 0.4055 -> 0.4, 0.0953.
    "gmpo": (math.exp(-0.4) - math.exp((0.4 + math.log(1.1)) / 2)) / 2,
    # -rho A log pi: -(0.5)(-1)(-3.6931); -1.5 (-0.5945), -1.1 (-0.9047).
    "cispo": (-0.5 * 3.693147 + 1.5 * 0.594535 + 1.1 * 0.904690) / 3,
    # Covariances: advantages' mean 1/3, log-probabilities' mean -5/3: 16/9; 4/9, 4/9. The first alone is in the band.
    "clip_cov": (-1.2 - 1.1) / 3,
    "kl_cov": (0.5 - 1.5 - 1.1 + math.log(2)) / 3,
    # Each answer is alone on its side: weight 1 + 0.1 * 1.
    "gtpo": -0.5 * 1.1,
    "grpo_s": -0.175 * 1.1,
    # Whitened rewards -1 and 1, sums over answers' tokens.
    "reinforce": (SCORES[0] - SCORES[1]) / 2,
    # Rewards less the greedy answer's 0.25.
    "remax": (0.25 * SCORES[0] - 0.75 * SCORES[1]) / 2,
    # Tokens 0; 1, 1 whitened: -2/3 and 1/3 over sqrt(2/9).
    "reinforce_pp": (0.8 * 2 / 3 - 2.3 / 3) / math.sqrt(2 / 9) / 3,
    "reinforce_pp_baseline": (0.8 * 2 / 3 - 2.3 / 3) / math.sqrt(2 / 9) / 3,
    # d = -0.2; 0.3, 0.4, A = -0.2; 0.3 + 0.95 * 0.4 = 0.68, 0.4; mean 0.293333, std 0.367091. Returns 0; 0.98, 1.
    # Critic: 0.49; max(0.0324, 0.48^2), max(0.01, 0.04), halved.
    "ppo": (0.8 * 1.343899 - 1.2 * 1.053326 - 1.1 * 0.290573) / 3 + (0.49 + 0.2304 + 0.04) / 2 / 3,
    # lambda 0 below 20 tokens: A = -0.2; 0.3, 0.4; mean 1/6, std 0.262467. Returns 0; 1, 1.
    "vapo": (0.8 * 1.397001 - 1.28 * 0.508000 - 1.1 * 0.889001) / 3 + (0.49 + 0.25 + 0.04) / 2 / 3,
}


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"pass_at_k"}))
def test_loss_by_hand(name: str) -> None:
    assert loss_of(name) == pytest.approx(GOLDEN[name], abs=2e-6)


def test_pass_at_two_by_hand() -> None:
    # The worse of two adds nothing, the better 1; over their spread 0.5: -2 (1.2 + 1.1) / 3.
    assert loss_of("pass_at_k", {"k": 2}) == pytest.approx(-4.6 / 3, abs=1e-6)
    assert loss_of("pass_at_k") == 0.0  # no four answers to choose from


def test_multipliers_by_hand() -> None:
    # The objective is a limit: advantages 1; -1. Tokens: -0.5 (nothing clips a good token from below); 1.5, 1.1.
    assert loss_of("constrained", multipliers={"a": 0.5}) == pytest.approx(2.1 / 3, abs=1e-6)
    assert loss_of("feasibility_first", multipliers={"a": 0.5}) == 0.0  # no goal is left


def test_importance_by_hand() -> None:
    # The first answer was six times likelier by the trainer's numbers: cut at 2, or out of [0.5, 5].
    sampler = OLD - tensor([math.log(6.0), 0.0], [0.0, 0.0])
    assert loss_of("tis", sampler_logprobs=sampler) == pytest.approx((2 * 0.8 - 1.15) / 2, abs=1e-6)
    assert loss_of("masked_importance", sampler_logprobs=sampler) == pytest.approx(-1.15 / 2, abs=1e-6)


def test_divergence_in_the_loss_by_hand() -> None:
    # k3 of a ratio rho to the reference is 1 / rho + log rho - 1; k2 is (log rho)^2 / 2.
    k3 = [1 / rho + math.log(rho) - 1 for rho in (0.5, 1.5, 1.1)]
    assert loss_of("grpo", beta=0.1) == pytest.approx(-0.175 + 0.1 * (k3[0] + (k3[1] + k3[2]) / 2) / 2, abs=1e-6)
    k2 = [math.log(rho) ** 2 / 2 for rho in (0.5, 1.5, 1.1)]
    by_k2 = loss_of("grpo", {"regularizer": "k2"}, beta=0.1)
    assert by_k2 == pytest.approx(-0.175 + 0.1 * (k2[0] + (k2[1] + k2[2]) / 2) / 2, abs=1e-6)
    assert loss_of("gspo", beta=0.1) == loss_of("gspo")


def test_divergence_in_the_reward_by_hand() -> None:
    # The reference finds the second answer e^2 less likely: its reward is 1 - 0.3 * 2, its lead over the other 0.4.
    reference = OLD - tensor([0.0, 0.0], [1.0, 1.0])
    found = loss_of("rloo", {"reward_kl": 0.3}, reference_logprobs=reference)
    assert found == pytest.approx(-0.2 * 0.4, abs=1e-6)


def test_overlong_filter_by_hand() -> None:
    # The second answer was cut: only the first remains, over the step's totals.
    found = loss_of("dapo", truncated=torch.tensor([False, True]))
    assert found == pytest.approx(0.8 / 3, abs=1e-6)


def test_what_is_watched() -> None:
    recipe = recipe_named("grpo")
    targets = recipe.prepare(rollout(), torch.ones(1, dtype=torch.float64))
    watched = recipe.loss(NEW, targets, TOTALS, beta=0.1, entropies=ENTROPIES).diagnostics
    assert float(watched["clipped"]) == 2
    assert float(watched["kl"]) == pytest.approx(sum(1 / r + math.log(r) - 1 for r in (0.5, 1.5, 1.1)))
    assert float(watched["entropy"]) == pytest.approx(3.5)
    assert {name: float(value) for name, value in targets.diagnostics.items()} == pytest.approx(
        {"mean/a": 0.5, "spread/a": 0.5, "share/a": 1.0, "covariance/a": 1.0}, abs=1e-5
    )
