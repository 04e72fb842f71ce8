"""Hidden states of prompts with their answers, each prompt once, nothing padded: for scoring and for training."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from infra.models.lean.attention import Block, attend, make_block
from infra.models.lean.layers import rms_norm, rotate, swiglu
from infra.models.lean.weights import Layer, LeanDecoder


@dataclass(frozen=True)
class Batch:
    """Tokens [T] laid end to end, group by group. `predicts` and `seen` [answer tokens]: for each token of the answers
    in row order, the index of the state that predicts it and its own."""

    ids: Tensor
    positions: Tensor
    blocks: tuple[Block, ...]
    predicts: Tensor
    seen: Tensor


def lay_out(
    lean: LeanDecoder, prompt_ids: Tensor, prompt_mask: Tensor, owner: Tensor, ids: Tensor, mask: Tensor
) -> Batch:
    """A batch of padded prompts [P, L] (left) and answers [N, T] (right), rows of a prompt adjacent and in order."""
    device = ids.device
    prompts = [row[real.bool()] for row, real in zip(prompt_ids, prompt_mask, strict=True)]
    lengths = mask.sum(1).tolist()
    counts = torch.bincount(owner, minlength=len(prompts)).tolist()
    tokens, positions, blocks, predicts, seen = [], [], [], [], []
    start = row = 0
    for prompt, count in zip(prompts, counts, strict=True):
        if not count:
            continue
        own = lengths[row : row + count]
        blocks.append(make_block(start, len(prompt), own, lean.heads // lean.kv_heads, lean.embedding.dtype, device))
        tokens.append(prompt)
        positions.append(torch.arange(len(prompt)))
        place = start + len(prompt)
        for index, length in enumerate(own):
            tokens.append(ids[row + index, :length])
            positions.append(torch.arange(len(prompt), len(prompt) + length))
            places = torch.arange(place, place + length)
            seen.append(places)
            predicts.append(torch.cat([torch.tensor([start + len(prompt) - 1]), places[:-1]])[:length])
            place += length
        start, row = place, row + count
    parts = (torch.cat(positions), torch.cat(predicts), torch.cat(seen))
    place_of, predicting, own_place = (part.to(device) for part in parts)
    return Batch(torch.cat(tokens), place_of, tuple(blocks), predicting, own_place)


def hidden_states(lean: LeanDecoder, batch: Batch, taps: Sequence[int] = ()) -> tuple[Tensor, dict[int, Tensor]]:
    """Final hidden states [T, H], and the outputs of chosen layers (0: the embedding, i: layer i)."""
    x = torch.nn.functional.embedding(batch.ids, lean.embedding)
    cos, sin = lean.angles(batch.positions)
    tapped = {0: x} if 0 in taps else {}
    for index, layer in enumerate(lean.layers):
        x = _layer(lean, layer, x, cos, sin, batch.blocks)
        if index + 1 in taps:
            tapped[index + 1] = x
    return rms_norm(x, lean.norm, lean.eps), tapped


def _layer(lean: LeanDecoder, layer: Layer, x: Tensor, cos: Tensor, sin: Tensor, blocks: tuple[Block, ...]) -> Tensor:
    query, key, value = project(lean, layer, rms_norm(x, layer.norm, lean.eps), cos, sin)
    scale = lean.width**-0.5
    spans = [slice(block.start, block.end) for block in blocks]
    mixed = [attend(query[s], key[s], value[s], b, scale) for s, b in zip(spans, blocks, strict=True)]
    x = x + layer.out[0](torch.cat(mixed) if len(mixed) > 1 else mixed[0])
    return x + feed_forward(layer, rms_norm(x, layer.norm_mlp, lean.eps))


def project(lean: LeanDecoder, layer: Layer, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated queries [T, heads, width] and keys, and values [T, kv_heads, width]."""
    heads, kv = lean.heads, lean.kv_heads
    if len(layer.qkv) == 1:
        both, value = torch.split(layer.qkv[0](x).view(len(x), -1, lean.width), [heads + kv, kv], 1)
        query, key = torch.split(rotate(both, cos, sin), [heads, kv], 1)
        return query, key, value
    query, key, value = (product(x).view(len(x), -1, lean.width) for product in layer.qkv)
    return rotate(query, cos, sin), rotate(key, cos, sin), value


def feed_forward(layer: Layer, x: Tensor) -> Tensor:
    """The gated layer [T, H] -> [T, H]."""
    parts = [product(x) for product in layer.gate_up]
    both = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
    return layer.down[0](swiglu(both))
