"""Credit by entropy, against the shaped rewards that an independent check of the paper gave."""

import pytest
import torch

from policy_update.algebra.entropy_credit import by_answer_entropy, by_token_entropy

FULL = torch.ones(2, 2, dtype=torch.int64)
RIGHT = torch.ones(2, dtype=torch.float64)


def entropies(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_right_answers() -> None:
    # At each position two right answers share 2 * 0.1 by entropy 3 : 1.
    found = by_token_entropy(RIGHT, FULL, entropies([3, 1], [1, 3]), 2).advantages
    assert found.flatten().tolist() == pytest.approx([1.15, 1.05, 1.05, 1.15])


def test_wrong_answers() -> None:
    found = by_token_entropy(-RIGHT, FULL, entropies([4, 1], [1, 4]), 2).advantages
    assert found.flatten().tolist() == pytest.approx([-1.04, -1.16, -1.16, -1.04])


def test_reward_is_kept_when_the_shares_add_to_one() -> None:
    found = by_token_entropy(RIGHT, FULL, entropies([3, 1], [1, 5]), 2, outcome_share=0.9, entropy_share=0.1).advantages
    assert found.sum(0).tolist() == pytest.approx([2, 2])


def test_sides_lengths_and_groups_are_kept_apart() -> None:
    # Two groups of two. First: one right, one wrong, each alone on its side. Second: two right, one of one token only.
    sequence = torch.tensor([2.0, -2.0, 1.0, 1.0], dtype=torch.float64)
    mask = torch.tensor([[1, 1], [1, 1], [1, 1], [1, 0]])
    found = by_token_entropy(sequence, mask, entropies([3, 1], [1, 1], [1, 5], [3, 0]), 2).advantages
    assert found.tolist() == [
        pytest.approx([2.2, 2.2]),
        pytest.approx([-2.2, -2.2]),
        pytest.approx([1 + 0.1 * 2 / 4, 1.1]),
        pytest.approx([1 + 0.1 * 6 / 4, 0]),
    ]


def test_whole_answers() -> None:
    # Mean entropies 2 and 6: of 2 * 0.1 a quarter and three quarters; when wrong the other way round.
    found = by_answer_entropy(RIGHT, FULL, entropies([3, 1], [6, 6]), 2).advantages
    assert found.flatten().tolist() == pytest.approx([1.05, 1.05, 1.15, 1.15])
    wrong = by_answer_entropy(-RIGHT, FULL, entropies([3, 1], [6, 6]), 2).advantages
    assert wrong.flatten().tolist() == pytest.approx([-1.15, -1.15, -1.05, -1.05])


def test_no_entropy_at_all_is_shared_evenly() -> None:
    found = by_token_entropy(-RIGHT, FULL, torch.zeros(2, 2, dtype=torch.float64), 2).advantages
    assert found.flatten().tolist() == pytest.approx([-1.1] * 4)


def test_an_answer_at_the_mean_is_neither_right_nor_wrong_whatever_rounding_says() -> None:
    """The share of the entropy is counted among right answers alone: a zero made 1e-17 must not join them."""
    mask, entropies = torch.ones(3, 2, dtype=torch.float64), torch.tensor([[1.0, 2.0], [4.0, 4.0], [2.0, 1.0]]).double()
    exact = by_answer_entropy(torch.tensor([1.0, 0.0, -1.0]).double(), mask, entropies, 3)
    rounded = by_answer_entropy(torch.tensor([1.0, 5.7e-17, -1.0]).double(), mask, entropies, 3)
    assert torch.allclose(exact.advantages, rounded.advantages, atol=1e-12)
