"""One token for every row, with keys and values written in place."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from infra.models.lean.forward import feed_forward, project
from infra.models.lean.layers import rms_norm
from infra.models.lean.weights import LeanDecoder


def decode_step(
    lean: LeanDecoder, tokens: Tensor, positions: Tensor, caches: Sequence[Any], mask: Tensor | None
) -> Tensor:
    """Hidden states [N, H] after one more token [N] a row at `positions` [N].

    `caches`: a SlotLayer for each layer, which grows by one; `mask` [N, 1, length] additive over all keys including the
    new one, or None where every key counts.
    """
    x = torch.nn.functional.embedding(tokens, lean.embedding)
    cos, sin = lean.angles(positions)
    rows, kv, width = len(tokens), lean.kv_heads, lean.width
    for layer, cache in zip(lean.layers, caches, strict=True):
        query, key, value = project(lean, layer, rms_norm(x, layer.norm, lean.eps), cos, sin)
        keys, values = cache.update(key[:, :, None], value[:, :, None])
        scores = torch.bmm(query.reshape(rows * kv, -1, width), keys.flatten(0, 1).transpose(1, 2)).mul_(width**-0.5)
        if mask is not None:
            scores.view(rows, lean.heads, -1).add_(mask)
        mixed = torch.bmm(scores.softmax(-1), values.flatten(0, 1)).view(rows, -1)
        x = x + layer.out[0](mixed)
        x = x + feed_forward(layer, rms_norm(x, layer.norm_mlp, lean.eps))
    return rms_norm(x, lean.norm, lean.eps)
