"""Losses of recipes against TRL 1.16's own trainers, values and gradients to 1e-6, on and off policy.

The advantages are ours in both: TRL computes them inside a method that samples (`test_advantages` has the formulas).
`-s` prints the largest difference of each.
"""

from typing import Any

import pytest
import torch

from policy_update.algebra.experience import Totals
from policy_update.algebra.options import Option, recipe_named
from policy_update.algebra.recipe import Recipe
from tests.policy_update.algebra.helpers import experience

pytest.importorskip("trl", reason="trl is not among the dependencies; `make test-oracles` compares with it")

from trl import GRPOTrainer, RLOOTrainer
from trl.experimental.gmpo import GMPOTrainer
from trl.rewards import get_soft_overlong_punishment

from tests.oracles.trl_hosts import host, inputs

TOLERANCE = 1e-6


def difference(recipe: Recipe, trainer: Any, beta: float, totals: str, **fields: Any) -> float:
    """The largest difference of loss and gradient over rollouts near the old policy and far from it."""
    worst = 0.0
    for seed, distance in enumerate((0.0, 0.1, 0.5, 1.5)):
        generator = torch.Generator().manual_seed(seed)
        table = torch.rand((3, 4, 1), dtype=torch.float64, generator=generator)
        given = experience(table, tokens=7, seed=seed)
        targets = recipe.prepare(given, torch.ones(1, dtype=torch.float64))
        step = torch.randn(given.mask.shape, dtype=torch.float64, generator=generator)
        new = (given.old_logprobs + distance * step * given.mask).requires_grad_()
        counted = Totals(float(targets.mask.sum()), float(len(targets.mask)), 7)
        ours = recipe.loss(new, targets, counted, beta=beta).loss
        self = host(new, beta=beta, loss_type=totals, max_completion_length=7, **fields)
        theirs = trainer._compute_loss(self, None, inputs(targets))
        (our_gradient,), (their_gradient,) = (torch.autograd.grad(loss, new) for loss in (ours, theirs))
        worst = max(worst, float((ours - theirs).abs()), float((our_gradient - their_gradient).abs().max()))
    return worst


CASES: dict[str, tuple[str, dict[str, Option], float, str, dict[str, Any]]] = {
    "grpo": ("grpo", {"importance": "unweighted"}, 0.1, "grpo", {}),
    "grpo, k3 times the ratio": (
        "grpo",
        {"importance": "unweighted", "regularizer": "k3_corrected"},
        0.1,
        "grpo",
        {"args": {"use_bias_correction_kl": True}},
    ),
    "bnpo": ("grpo", {"importance": "unweighted", "aggregation": "token_mean"}, 0.1, "bnpo", {}),
    "dr_grpo": ("dr_grpo", {"importance": "unweighted"}, 0.1, "dr_grpo", {}),
    "dapo": ("dapo", {"importance": "unweighted", "filter": "every_token"}, 0.0, "dapo", {"epsilon_high": 0.28}),
    "dapo with overlong answers left out": (
        "dapo",
        {"importance": "unweighted"},
        0.0,
        "dapo",
        {"epsilon_high": 0.28},
    ),
    "cispo": ("cispo", {"importance": "unweighted"}, 0.0, "cispo", {"epsilon_high": 5.0}),
    "gspo": (
        "gspo",
        {"importance": "unweighted"},
        0.0,
        "grpo",
        {"importance_sampling_level": "sequence", "epsilon_low": 3e-4, "epsilon_high": 4e-4},
    ),
    "gspo, wide": (
        "gspo",
        {"importance": "unweighted", "clip_low": 0.2, "clip_high": 0.3},
        0.0,
        "grpo",
        {"importance_sampling_level": "sequence", "epsilon_low": 0.2, "epsilon_high": 0.3},
    ),
    "tis": (
        "tis",
        {"importance_cap": 1.05},
        0.1,
        "grpo",
        {"use_vllm": True, "vllm_importance_sampling_correction": True},
    ),
    "masked_importance": (
        "masked_importance",
        {"importance_low": 0.95, "importance_high": 1.05},
        0.1,
        "grpo",
        {"use_vllm": True, "vllm_importance_sampling_correction": True},
    ),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_grpo_trainer(case: str) -> None:
    name, options, beta, loss_type, fields = CASES[case]
    found = difference(recipe_named(name, options), GRPOTrainer, beta, loss_type, **fields)
    print(f"\n{case}: {found:.1e}")
    assert found < TOLERANCE


def test_rloo_trainer() -> None:
    found = difference(recipe_named("rloo", {"importance": "unweighted"}), RLOOTrainer, 0.0, "")
    print(f"\nrloo: {found:.1e}")
    assert found < TOLERANCE


def test_gmpo_trainer() -> None:
    recipe = recipe_named("gmpo", {"importance": "unweighted", "regularizer": "k3"})
    found = difference(recipe, GMPOTrainer, 0.1, "", epsilon_low=0.4, epsilon_high=0.4)
    print(f"\ngmpo: {found:.1e}")
    assert found < TOLERANCE


def test_a_difference_is_seen() -> None:
    """The comparison fails where the losses differ: another clip, and TRL's default KL."""
    recipe = recipe_named("grpo", {"importance": "unweighted"})
    assert difference(recipe, GRPOTrainer, 0.0, "grpo", epsilon_high=0.3) > 1e-3
    assert difference(recipe, GRPOTrainer, 0.1, "grpo", args={"use_bias_correction_kl": True}) > 1e-4


@pytest.mark.parametrize(("limit", "cache"), [(100, 20), (20, 4), (64, 16)])
def test_soft_overlong_punishment(limit: int, cache: int) -> None:
    from policy_update.algebra.shaping import soft_overlong
    from tests.policy_update.algebra.helpers import shaped

    lengths = torch.arange(1, limit + 5)
    theirs = get_soft_overlong_punishment(limit, cache)(completion_ids=[[0] * int(n) for n in lengths])
    given = shaped(torch.zeros((1, len(lengths), 1), dtype=torch.float64))
    ours = soft_overlong(given, lengths[None], limit, overlong_cache=cache / limit).rewards[0, :, 1]
    assert (ours - torch.tensor(theirs, dtype=torch.float64)).abs().max() < TOLERANCE
