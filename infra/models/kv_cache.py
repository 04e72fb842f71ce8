"""A key/value cache written in place, and attention masks for padded prompts.

transformers' own growing cache copies every key and value for each new token: a fifth of the generation time.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class SlotLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped here
    """Keys and values [rows, heads, length, width] with room made once; `update` returns views of it."""

    def __init__(self, keys: Tensor, values: Tensor, room: int) -> None:
        super().__init__()
        self.used = keys.shape[2]
        self.key_slots = torch.cat([keys, keys.new_zeros(*keys.shape[:2], room, keys.shape[3])], 2)
        self.value_slots = torch.cat([values, values.new_zeros(*values.shape[:2], room, values.shape[3])], 2)
        self.keys, self.values, self.is_initialized = self.key_slots, self.value_slots, True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        end = self.used + key_states.shape[2]
        self.key_slots[:, :, self.used : end] = key_states
        self.value_slots[:, :, self.used : end] = value_states
        self.used = end
        return self.key_slots[:, :, :end], self.value_slots[:, :, :end]

    def get_seq_length(self) -> int:
        return self.used

    def keep(self, rows: Tensor) -> None:
        """Drop every row not listed."""
        self.key_slots, self.value_slots = self.key_slots[rows], self.value_slots[rows]


def with_room(prefix: DynamicCache, owner: Tensor, room: int) -> Cache:
    """A cache of one row for each entry of `owner` (the prompt it continues) with room for `room` more tokens."""
    return Cache(layers=[SlotLayer(layer.keys[owner], layer.values[owner], room) for layer in prefix.layers])


def left_padded(prompts: list[list[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids [P, L] and mask [P, L] (1 where real) with the padding on the left."""
    length = max(map(len, prompts))
    ids = torch.tensor([[pad_id] * (length - len(p)) + p for p in prompts], dtype=torch.long, device=device)
    mask = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in prompts], dtype=torch.long, device=device)
    return ids, mask


def right_padded(sequences: list[list[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids [N, L] and mask [N, L] (1 where real) with the padding on the right."""
    length = max(map(len, sequences))
    ids = torch.tensor([s + [pad_id] * (length - len(s)) for s in sequences], dtype=torch.long, device=device)
    mask = torch.tensor([[1] * len(s) + [0] * (length - len(s)) for s in sequences], dtype=torch.long, device=device)
    return ids, mask


def positions(mask: Tensor) -> Tensor:
    """Position ids [N, L] that count real tokens only."""
    return (mask.cumsum(-1) - 1).clamp_min(0)


def additive_mask(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where attention is allowed, the most negative number elsewhere; the shape of `allowed`."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, torch.finfo(dtype).min)


def causal_mask(mask: Tensor, queries: int, dtype: torch.dtype) -> Tensor:
    """Additive mask [N, 1, queries, L]: the last `queries` of L positions ask, padding is never seen.

    A padded query sees itself: with nothing to see it would give NaN.
    """
    total = mask.shape[1]
    causal = torch.ones(queries, total, dtype=torch.bool, device=mask.device).tril(total - queries)
    own = torch.zeros_like(causal)
    own[torch.arange(queries), torch.arange(total - queries, total)] = True
    return additive_mask((causal & mask[:, None, None, :].bool()) | own, dtype)
