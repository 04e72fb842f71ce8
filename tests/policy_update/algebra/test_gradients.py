"""Gradients of every policy term and regulariser against finite differences, in float64."""

from typing import Any

import pytest
import torch

from policy_update.algebra import regularizers
from policy_update.algebra.binding import inputs_of
from policy_update.algebra.options import FUNCTIONS

DETACHING = {"gradient_preserving", "weighted_score", "geometric_by_token"}
"""Terms whose gradient is meant to be another than their value's: `test_policy_terms` has it by hand."""


def inputs() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(5)

    def draw(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand((3, 4), generator=generator, dtype=torch.float64)

    old = draw(-3.0, -0.5)
    return {
        "new": (old + draw(-0.8, 0.8)).requires_grad_(),
        "old": old,
        "reference": old + draw(-0.5, 0.5),
        "advantages": draw(-2.0, 2.0),
        "mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]),
        "chosen": torch.tensor([[True, False, True, False]] * 3),
    }


def checked(function: Any, given: dict[str, Any], by: str) -> bool:
    names = inputs_of(function)
    others = {name: given[name] for name in names}

    def at(point: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = function(*(point if name == by else others[name] for name in names))
        return result

    return torch.autograd.gradcheck(at, (given[by],), raise_exception=False)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS["term"]) - DETACHING))
def test_terms(name: str) -> None:
    assert checked(FUNCTIONS["term"][name], inputs(), "new")


@pytest.mark.parametrize("name", sorted(DETACHING))
def test_terms_that_detach_do_so(name: str) -> None:
    """Where it is off policy, their gradient is not their value's."""
    assert not checked(FUNCTIONS["term"][name], inputs(), "new")


@pytest.mark.parametrize("name", sorted(FUNCTIONS["regularizer"]))
def test_regularizers(name: str) -> None:
    assert checked(FUNCTIONS["regularizer"][name], inputs(), "new")


def test_bonus_and_critic() -> None:
    given = inputs()
    given["entropies"] = given["new"]
    assert checked(regularizers.entropy_bonus, given, "entropies")
    critic = {"values": given["new"], "old_values": given["old"], "returns": given["reference"]}
    assert checked(regularizers.clipped_value, critic, "values")
