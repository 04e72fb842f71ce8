"""Length is out of the head on what it was fitted on, and little else is."""

import numpy as np
import torch
from numpy.typing import NDArray

from reward_model.length_removal import without_length


def world(count: int, seed: int = 0):  # type: ignore[no-untyped-def]
    """Features of which the first says length and the second quality; prompts of four answers."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 6, generator=generator, dtype=torch.float64)
    length = x[:, 0] + 0.1 * torch.randn(count, generator=generator, dtype=torch.float64)
    return x, length, torch.arange(count) // 4


def within(values: torch.Tensor, groups: torch.Tensor) -> NDArray[np.float64]:
    means = torch.stack([values[groups == g].mean() for g in range(int(groups.max()) + 1)])
    return np.asarray((values - means[groups]).numpy())


def test_covariance_with_length_within_prompts_is_gone_for_every_refit() -> None:
    x, length, groups = world(400)
    heads = torch.tensor([[2.0, 1.0, 0, 0, 0, 0], [0.5, 0, 1.0, 0, 0, 0]], dtype=torch.float64)
    cleaned = without_length(heads, x, length, groups)
    for head in cleaned:
        assert abs(np.corrcoef(within(x @ head, groups), within(length, groups))[0, 1]) < 1e-8
    assert torch.allclose(cleaned[0, 1:], heads[0, 1:], atol=0.1), "quality stays"
    assert abs(float(cleaned[0, 0])) < 0.1, "length goes"


def test_a_head_that_does_not_follow_length_stays() -> None:
    x, length, groups = world(400)
    once = without_length(torch.eye(6, dtype=torch.float64)[1:2], x, length, groups)
    assert torch.allclose(without_length(once, x, length, groups), once, atol=1e-9)


def test_without_two_lengths_to_a_prompt_all_answers_count_and_without_any_nothing_changes() -> None:
    x, length, _ = world(100)
    alone = torch.arange(100)
    heads = torch.ones(1, 6, dtype=torch.float64)
    cleaned = without_length(heads, x, length, alone)
    assert abs(np.corrcoef((x @ cleaned[0]).numpy(), length.numpy())[0, 1]) < 1e-8
    assert without_length(heads, x, torch.ones(100, dtype=torch.float64), alone) is heads
