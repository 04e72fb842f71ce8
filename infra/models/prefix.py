"""Completions that share prompts: each prompt is computed once and its keys and values serve all its completions.

A group of G answers of length Lc to a prompt of length Lp costs Lp + G Lc tokens instead of G (Lp + Lc); gradients flow
through the shared prefix.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from infra.models.kv_cache import causal_mask, positions
from infra.models.lean.forward import Batch, hidden_states, lay_out
from infra.models.lean.weights import LeanDecoder, lean_decoder


def completion_states(
    decoder: Any, prompt_ids: Tensor, prompt_mask: Tensor, owner: Tensor, ids: Tensor, mask: Tensor
) -> Tensor:
    """Final hidden states [tokens, H] that predict each real token of `ids` (N, T), row by row; differentiable.

    Arguments as for `completion_hidden`; `decoder` may be a LeanDecoder, which also takes gradients to merged LoRA.
    """
    lean = decoder if isinstance(decoder, LeanDecoder) else lean_decoder(decoder)
    if lean is None:
        hidden, _ = completion_hidden(decoder, prompt_ids, prompt_mask, owner, ids, mask)
        return hidden[mask.bool()]
    batch = lay_out(lean, prompt_ids, prompt_mask, owner, ids, mask)
    return hidden_states(lean, batch)[0].index_select(0, batch.predicts)


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
    t of a tap has seen token t. Tap 0 is the embedding, tap i the output of layer i.
    """
    if (lean := lean_decoder(decoder)) is not None:
        return _lean(lean, lay_out(lean, prompt_ids, prompt_mask, owner, ids, mask), mask.bool(), taps)
    from transformers.cache_utils import DynamicCache

    cache = DynamicCache()
    prefix = decoder(
        input_ids=prompt_ids,
        attention_mask=causal_mask(prompt_mask, prompt_ids.shape[1], _dtype(decoder)),
        position_ids=positions(prompt_mask),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys.index_select(0, owner), layer.values.index_select(0, owner)
    full = torch.cat([prompt_mask[owner], mask], 1)
    tapped: dict[int, Tensor] = {}
    modules = {tap: decoder.layers[tap - 1] if tap else decoder.get_input_embeddings() for tap in taps}
    hooks = [module.register_forward_hook(_keep(tapped, tap)) for tap, module in modules.items()]
    try:
        after = decoder(
            input_ids=ids,
            attention_mask=causal_mask(full, ids.shape[1], _dtype(decoder)),
            position_ids=positions(full)[:, -ids.shape[1] :],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    predicts = torch.cat([prefix[owner, -1:], after[:, :-1]], 1)
    return predicts, [tapped[tap] for tap in taps]


def _lean(lean: LeanDecoder, batch: Batch, real: Tensor, taps: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
    final, outputs = hidden_states(lean, batch, taps)
    return _padded(final[batch.predicts], real), [_padded(outputs[tap][batch.seen], real) for tap in taps]


def _padded(states: Tensor, real: Tensor) -> Tensor:
    """[tokens, H] -> [N, T, H], 0 where `real` [N, T] is false."""
    out = states.new_zeros(*real.shape, states.shape[-1])
    out[real] = states
    return out


def _keep(store: dict[int, Tensor], tap: int) -> Any:
    def hook(_module: object, _inputs: object, output: Any) -> None:
        store[tap] = output[0] if isinstance(output, tuple) else output

    return hook


def _dtype(decoder: Any) -> torch.dtype:
    dtype: torch.dtype = next(decoder.parameters()).dtype
    return dtype
