"""Hidden states of chosen layers, pooled over the answer: the features of the reward model."""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from infra.models.loading import LoadedModel, decoder_and_head
from infra.models.packed_attention import packed_inputs
from infra.models.packing import Packed, budgeted, pack, packed_size, prompt_groups, tokens_of

_TOKENS_A_ROW = 128
"""Tokens in one forward pass for each row of `micro_batch`."""


@torch.inference_mode()
def pooled_hidden_states(
    loaded: LoadedModel,
    sequences: Sequence[Sequence[int]],
    response_starts: Sequence[int],
    layers: Sequence[int],
    *,
    opening: int = 0,
    model: Any = None,
    micro_batch: int = 16,
) -> Tensor:
    """Features [N, layers x 2 x H], float32 on the CPU: for each layer the mean over the answer, then its last token.

    With `opening` > 0 they are [N, layers x 3 x H]: the mean over the answer's first `opening` tokens follows.
    `sequences` are prompts with their answers, `response_starts` the index of each answer's first token. Layer 0 is the
    embedding, layer i the output of block i; negative layers count from the end (-1: the last block, before the final
    norm). An answer without tokens has the features of the last prompt token. Raises ValueError for an empty sequence.

    Nothing is padded, and answers to one prompt share its computation; a forward pass has about 128 `micro_batch`
    tokens.
    """
    if any(len(sequence) == 0 for sequence in sequences):
        raise ValueError("a sequence without tokens has no hidden states")
    decoder, _ = decoder_and_head(loaded.model if model is None else model)
    chosen = _resolved(layers, len(decoder.layers))
    budget = _TOKENS_A_ROW * micro_batch
    groups = prompt_groups(sequences, response_starts, budget)
    width = len(chosen) * (3 if opening else 2) * int(decoder.config.hidden_size)
    features = torch.zeros(len(sequences), width)
    sizes = [packed_size([sequences[i] for i in group]) for group in groups]
    for batch in budgeted(sizes, budget):
        rows = [groups[g] for g in batch]
        packed = pack([[sequences[i] for i in group] for group in rows], loaded.device)
        states = _captured(decoder, packed, chosen)
        spans = [
            tokens_of(laid, member, min(response_starts[i], len(sequences[i]) - 1), len(sequences[i]))
            for laid, group in zip(packed.groups, rows, strict=True)
            for member, i in enumerate(group)
        ]
        pooled = torch.cat([_pooled(states[layer][0], spans, opening) for layer in chosen], 1)
        features[[i for group in rows for i in group]] = pooled.cpu()
    return features


def _pooled(states: Tensor, spans: Sequence[Sequence[int]], opening: int) -> Tensor:
    """`pool` for packed states [T, H]: of each span of indices the mean, the last, and the mean of its opening."""
    parts = [_means(states, spans), states[[span[-1] for span in spans]].float()]
    if opening:
        parts.append(_means(states, [span[:opening] for span in spans]))
    return torch.cat(parts, 1)


def _means(states: Tensor, spans: Sequence[Sequence[int]]) -> Tensor:
    return torch.stack([states[torch.tensor(span, device=states.device)].float().mean(0) for span in spans])


class _DeepEnough(Exception):
    """Ends a forward pass above which nobody looks."""


def _resolved(layers: Sequence[int], blocks: int) -> list[int]:
    resolved = [layer + blocks + 1 if layer < 0 else layer for layer in layers]
    if not resolved or min(resolved) < 0 or max(resolved) > blocks:
        raise ValueError(
            f"layers {list(layers)} of a model with {blocks} blocks: choose from {-blocks - 1} to {blocks}"
        )
    return resolved


def _captured(decoder: Any, packed: Packed, layers: Sequence[int]) -> dict[int, Tensor]:
    """Outputs [1, T, H] of the chosen layers; only these are kept, and nothing above the deepest is computed."""
    kept: dict[int, Tensor] = {}
    deepest = max(layers)

    def keep(layer: int) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            kept[layer] = output[0] if isinstance(output, tuple) else output
            if layer == deepest:
                raise _DeepEnough

        return hook

    modules = {layer: decoder.get_input_embeddings() if layer == 0 else decoder.layers[layer - 1] for layer in layers}
    hooks = [module.register_forward_hook(keep(layer)) for layer, module in modules.items()]
    try:
        with contextlib.suppress(_DeepEnough):
            decoder(**packed_inputs(decoder, packed))
    finally:
        for hook in hooks:
            hook.remove()
    return kept


def pool(states: Tensor, mask: Tensor, opening: int = 0) -> Tensor:
    """[N, 2H] or, with `opening` > 0, [N, 3H], float32: mean of `states` [N, L, H] over the positions of `mask` [N, L],
    the state at the last of them, and the mean over the first `opening` of them. Every row needs a position."""
    last = mask.shape[1] - 1 - mask.flip(1).argmax(1)
    parts = [_mean(states, mask), states[torch.arange(len(states), device=states.device), last].float()]
    if opening:
        parts.append(_mean(states, mask * (mask.cumsum(1) <= opening)))
    return torch.cat(parts, 1)


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    weights = mask[:, :, None].float()
    return (states.float() * weights).sum(1) / weights.sum(1)
