"""Small experiences to try recipes on, in float64."""

from typing import Any

import torch
from torch import Tensor

from policy_update.algebra.experience import Experience
from policy_update.algebra.shaping import Shaped


def rewards(*groups: list[float]) -> Tensor:
    """(P, G, 1) from one list a prompt."""
    return torch.tensor(groups, dtype=torch.float64)[..., None]


def shaped(table: Tensor, weights: list[float] | None = None, noise: list[float] | None = None, **rest: Any) -> Shaped:
    """Rewards (P, G, K) with unit weights and no noise unless given; objectives are named a, b, c, ..."""
    count = table.shape[-1]
    return Shaped(
        tuple("abcdefgh"[:count]),
        table,
        torch.tensor(weights or [1.0] * count, dtype=torch.float64),
        torch.tensor(noise or [0.0] * count, dtype=torch.float64),
        **rest,
    )


def experience(table: Tensor, *, tokens: int = 5, seed: int = 0, padding: int = 0, **changes: Any) -> Experience:
    """A rollout with rewards `table` (P, G, K), answers of 1 to `tokens` tokens and `padding` empty columns; every
    optional field filled, all of it the same whatever the padding."""
    generator = torch.Generator().manual_seed(seed)
    prompts, group, count = table.shape
    rows = prompts * group
    lengths = torch.randint(1, tokens + 1, (rows,), generator=generator)
    lengths[0] = tokens

    def draw(low: float, high: float) -> Tensor:
        values = low + (high - low) * torch.rand((rows, tokens), generator=generator, dtype=torch.float64)
        values = values * (torch.arange(tokens) < lengths[:, None])
        return torch.nn.functional.pad(values, (0, padding))

    mask = torch.arange(tokens + padding) < lengths[:, None]
    old = draw(-3.0, -0.1)
    fields: dict[str, Any] = {
        "names": tuple("abcdefgh"[:count]),
        "rewards": table,
        "noise": torch.zeros(count, dtype=torch.float64),
        "mask": mask.long(),
        "old_logprobs": old,
        "sampler_logprobs": old + draw(-0.1, 0.1),
        "truncated": lengths == tokens,
        "max_tokens": tokens,
        "reference_logprobs": old + draw(-0.5, 0.5),
        "entropies": draw(0.2, 2.0),
        "values": draw(-1.0, 1.0),
        "greedy_rewards": torch.full((prompts, count), 0.25, dtype=torch.float64),
    }
    return Experience(**{**fields, **changes})
