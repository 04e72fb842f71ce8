"""Hidden states of packed sequences under any decoder of transformers.

On a CPU attention runs sequence by sequence through transformers' attention interface: no token ever meets one of
another sequence. Elsewhere, and for models that do not use `sdpa`, a block mask over the batch does the same.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from infra.models.kv_cache import additive_mask
from infra.models.packing import Group, Packed, block_mask

IMPLEMENTATION = "plaudit_packed"
"""Name in transformers' registry: `sdpa`, except where a forward pass is given `packed_groups`."""
_SHORT = 512


def packed_hidden(decoder: Any, packed: Packed) -> Tensor:
    """Final hidden states [T, H] of a batch, differentiable; `decoder` maps token ids to hidden states."""
    hidden: Tensor = decoder(**packed_inputs(decoder, packed)).last_hidden_state
    return hidden[0]


def packed_inputs(decoder: Any, packed: Packed) -> dict[str, Any]:
    """Keyword arguments with which `decoder` computes a packed batch, for callers that hook its layers."""
    inputs: dict[str, Any] = {"input_ids": packed.ids, "position_ids": packed.positions, "use_cache": False}
    dtype = next(decoder.parameters()).dtype
    if packed.ids.device.type == "cpu" and _enable(decoder):
        # A mask of four dimensions is handed on as it is: it keeps transformers from making one that nobody reads.
        unread = torch.zeros(1, 1, 1, 1, dtype=dtype)
        return inputs | {"attention_mask": unread, "packed_groups": _with_masks(packed.groups, dtype)}
    return inputs | {"attention_mask": additive_mask(block_mask(packed), dtype)[None, None]}


def _enable(decoder: Any) -> bool:
    """Route the decoder's attention through this module; False where that would change what the model computes.

    For every pass without `packed_groups` nothing changes, so a model in use elsewhere may be switched.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    config = decoder.config
    if config._attn_implementation == IMPLEMENTATION:
        return True
    layered = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if config._attn_implementation != "sdpa" or layered or not getattr(decoder, "_supports_attention_backend", False):
        return False

    def attention(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **more: Any) -> Any:
        groups = more.pop("packed_groups", None)
        if groups is None:
            return sdpa_attention_forward(module, query, key, value, mask, **more)
        return _grouped(query, key, value, groups, more.get("scaling")), None

    AttentionInterface.register(IMPLEMENTATION, attention)
    AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
    config._attn_implementation = IMPLEMENTATION
    return True


def _with_masks(groups: tuple[Group, ...], dtype: torch.dtype) -> list[tuple[Group, list[Tensor]]]:
    """Beside each group its additive masks, made once for all layers: [P + S, P + S] for the prefix with the first
    suffix, [S, P + S] for each later one."""
    masked = []
    for group in groups:
        lengths = [end - begin for begin, end in group.suffixes]
        rows = [group.prefix + lengths[0], *lengths[1:]]
        keys = [group.prefix + length for length in lengths]
        allowed = [torch.ones(r, k, dtype=torch.bool).tril(k - r) for r, k in zip(rows, keys, strict=True)]
        masked.append((group, [additive_mask(a, dtype) for a in allowed]))
    return masked


def _grouped(query: Tensor, key: Tensor, value: Tensor, groups: Any, scale: float | None) -> Tensor:
    """Attention [1, T, heads, width] of packed queries [1, heads, T, width]; keys may have fewer heads."""
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    outputs = []
    for group, masks in groups:
        first = slice(group.start, group.suffixes[0][1])
        k, v = key[:, :, first], value[:, :, first]
        outputs.append(_attention(query[:, :, first], k, v, masks[0], scale))
        k, v = k[:, :, : group.prefix], v[:, :, : group.prefix]
        for (begin, end), mask in zip(group.suffixes[1:], masks[1:], strict=True):
            own = slice(begin, end)
            keys, values = torch.cat([k, key[:, :, own]], 2), torch.cat([v, value[:, :, own]], 2)
            outputs.append(_attention(query[:, :, own], keys, values, mask, scale))
    return torch.cat(outputs, 2).transpose(1, 2)


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float | None) -> Tensor:
    """softmax(q k^T scale + mask) v. Written out where gradients flow through short sequences: the backward pass of
    the fused kernel takes two to three times as long there (CPU, bf16, at most about 400 tokens)."""
    if not query.requires_grad or key.shape[2] > _SHORT:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = torch.baddbmm(mask.expand(query.shape[1], -1, -1), query[0], key[0].transpose(1, 2), alpha=factor)
    return (scores.softmax(-1) @ value[0])[None]
