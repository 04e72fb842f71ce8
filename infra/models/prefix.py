"""Completions that share prompts: each prompt is computed once and its keys and values serve all its completions.

A group of G answers of length Lc to a prompt of length Lp costs Lp + G Lc tokens instead of G (Lp + Lc); gradients flow
through the shared prefix.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def pad_left(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Token rows -> (ids, mask), both int64 (rows, longest), real tokens at the right end."""
    return _pad(rows, pad_id, left=True)


def pad_right(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Token rows -> (ids, mask), both int64 (rows, longest), real tokens at the left end."""
    return _pad(rows, pad_id, left=False)


def completion_hidden(
    decoder: Any,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    owner: Tensor,
    ids: Tensor,
    mask: Tensor,
    taps: Sequence[int] = (),
) -> tuple[Tensor, list[Tensor]]:
    """Final hidden states that predict each completion token, and the outputs of chosen layers at those tokens.

    `prompt_ids`, `prompt_mask` (P, L) left-padded; `owner` (N,) says whose completion each row of `ids`, `mask` (N, T),
    right-padded, is. Returns ((N, T, H), [(N, T, H) per layer of `taps`]): entry t of the first predicts token t, entry
    t of a tap has seen token t. `taps` counts decoder layers from 1 (the output of the first) .
    """
    from transformers.cache_utils import DynamicCache

    cache = DynamicCache()
    prefix = decoder(
        input_ids=prompt_ids,
        attention_mask=_additive(prompt_mask, prompt_ids.shape[1], _dtype(decoder)),
        position_ids=_positions(prompt_mask),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys.index_select(0, owner), layer.values.index_select(0, owner)
    full = torch.cat([prompt_mask[owner], mask], 1)
    tapped: dict[int, Tensor] = {}
    hooks = [decoder.layers[tap - 1].register_forward_hook(_keep(tapped, tap)) for tap in taps]
    try:
        after = decoder(
            input_ids=ids,
            attention_mask=_additive(full, ids.shape[1], _dtype(decoder)),
            position_ids=_positions(full)[:, -ids.shape[1] :],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    predicts = torch.cat([prefix[owner, -1:], after[:, :-1]], 1)
    return predicts, [tapped[tap] for tap in taps]


def _keep(store: dict[int, Tensor], tap: int) -> Any:
    def hook(_module: object, _inputs: object, output: Any) -> None:
        store[tap] = output[0] if isinstance(output, tuple) else output

    return hook


def _dtype(decoder: Any) -> torch.dtype:
    dtype: torch.dtype = next(decoder.parameters()).dtype
    return dtype


def _positions(mask: Tensor) -> Tensor:
    return (mask.cumsum(-1) - 1).clamp_min(0)


def _additive(mask: Tensor, new: int, dtype: torch.dtype) -> Tensor:
    """Additive causal mask (B, 1, new, total) for the last `new` of `total` positions; padding is never seen."""
    total = mask.shape[1]
    causal = torch.ones(new, total, dtype=torch.bool, device=mask.device).tril(total - new)
    # A padded query would see nothing, and softmax over nothing is NaN: let it see itself.
    itself = torch.zeros(new, total, dtype=torch.bool, device=mask.device)
    itself[torch.arange(new), torch.arange(total - new, total)] = True
    allowed = (causal & mask[:, None, None, :].bool()) | itself
    return torch.zeros(allowed.shape, dtype=dtype, device=mask.device).masked_fill_(~allowed, torch.finfo(dtype).min)


def _pad(rows: Sequence[Sequence[int]], pad_id: int, *, left: bool) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.int64)
    mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    for index, row in enumerate(rows):
        where = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[index, where] = torch.tensor(row, dtype=torch.int64)
        mask[index, where] = 1
    return ids, mask
