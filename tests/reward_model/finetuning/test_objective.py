"""The loss of a batch by hand, and in pieces."""

import math

import pytest
import torch

from reward_model.finetuning.objective import PairTerms, label_sum, pair_sum


def terms(**more: torch.Tensor) -> PairTerms:
    fields = {
        "first": torch.tensor([[2.0, 1.0], [0.5, 0.0]]),
        "second": torch.tensor([[1.0, 1.0], [1.5, -1.0]]),
        "weights": torch.tensor([[1.0, 2.0], [3.0, 0.5]]),
        "soft": torch.tensor([1.0, 0.75]),
        "flip_rates": torch.zeros(2),
        "offsets": torch.tensor([0.0, 1.0]),
    }
    return PairTerms(**{**fields, **more})


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_pairs_by_hand() -> None:
    """Margins 1, 0 for the two heads of the first pair; 0, 2 of the second, whose offset is 1."""
    first = 1.0 * softplus(-1.0) + 3.0 * softplus(0.0)
    second = 2.0 * softplus(0.0) + 0.5 * (0.75 * softplus(-2.0) + 0.25 * softplus(2.0))
    assert float(pair_sum(terms(), "bt", 10.0, 0.0)) == pytest.approx((first + second) / 2, abs=1e-6)
    centred = 0.1 * ((1 * 9 + 3 * 4) + (2 * 4 + 0.5 * 1)) / 2
    assert float(pair_sum(terms(), "bt", 10.0, 0.1)) == pytest.approx((first + second) / 2 + centred, abs=1e-6)


def test_each_pair_has_its_own_flip_rate() -> None:
    hard = {"soft": torch.ones(2), "offsets": torch.zeros(2), "weights": torch.tensor([[1.0, 0.0], [0.0, 0.0]])}
    p = 0.8 / (1 + math.exp(-1.0)) + 0.2 / (1 + math.exp(1.0))
    found = pair_sum(terms(flip_rates=torch.tensor([0.2, 0.0]), **hard), "huber_bt", 100.0, 0.0)
    assert float(found) == pytest.approx(-math.log(p) / 2, abs=1e-6)


def test_labels_by_hand() -> None:
    logits = torch.tensor([[[0.0], [1.0]], [[2.0], [3.0]]])
    targets = torch.tensor([[1.0, math.nan], [0.25, 0.0]])
    weights = torch.tensor([[[1.0], [7.0]], [[3.0], [2.0]]])
    love = (softplus(0.0) + 3.0 * (0.25 * softplus(-2.0) + 0.75 * softplus(2.0))) / 4.0
    other = 2.0 * softplus(3.0) / 2.0
    totals = torch.tensor([4.0, 2.0])
    assert float(label_sum(logits, targets, weights, totals)) == pytest.approx(love + other, abs=1e-5)
    assert float(label_sum(logits, targets, weights, torch.tensor([4.0, 0.0]))) == pytest.approx(love, abs=1e-5)


def test_a_sum_over_pieces_is_the_whole() -> None:
    whole = terms()
    pieces = [
        PairTerms(*(getattr(whole, name)[i : i + 1] for name in PairTerms.__dataclass_fields__)) for i in range(2)
    ]
    parts = sum(float(pair_sum(piece, "huber_bt", 2.0, 0.05)) for piece in pieces)
    assert parts == pytest.approx(float(pair_sum(whole, "huber_bt", 2.0, 0.05)), abs=1e-6)
