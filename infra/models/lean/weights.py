"""A transformers decoder as a list of products: which models fit, and how their weights are laid out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from infra.models.lean.layers import Pair, Product
from infra.models.lean.packed import packed

FAMILY = frozenset({"llama", "mistral", "qwen2"})
PARTS = (
    ("qkv", "self_attn", ("q_proj", "k_proj", "v_proj")),
    ("out", "self_attn", ("o_proj",)),
    ("gate_up", "mlp", ("gate_proj", "up_proj")),
    ("down", "mlp", ("down_proj",)),
)


@dataclass(frozen=True)
class Layer:
    """One decoder layer. `qkv` and `gate_up` hold one product where the weights lie together in memory, else
    several."""

    norm: Tensor
    qkv: tuple[Product, ...]
    out: tuple[Product, ...]
    norm_mlp: Tensor
    gate_up: tuple[Product, ...]
    down: tuple[Product, ...]


@dataclass(frozen=True)
class LeanDecoder:
    """Everything a forward pass needs. Tensors are those of the model, not copies; make it anew after moving them."""

    embedding: Tensor
    layers: tuple[Layer, ...]
    norm: Tensor
    eps: float
    heads: int
    kv_heads: int
    width: int
    rotary: Any

    def angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin [T, 1, width / 2] of `positions` [T], in the model's type."""
        cos, sin = self.rotary(self.embedding, positions[None])
        half = self.width // 2
        return cos[0, :, None, :half], sin[0, :, None, :half]


def lean_decoder(decoder: Any, pairs: Mapping[str, tuple[Tensor, Tensor, float]] | None = None) -> LeanDecoder | None:
    """The decoder (`model.get_decoder()`) laid open, or None where its architecture is not one this package computes.

    `pairs`: LoRA (A, B, scale) by module name within the decoder, already merged into the weights, to receive
    gradients.
    """
    if not _fits(decoder):
        return None
    known = {f"layers.{i}.{holder}.{n}" for i in range(len(decoder.layers)) for _, holder, ns in PARTS for n in ns}
    if set(pairs or ()) - known:  # their gradients would silently be missing
        return None
    config = decoder.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    layers = tuple(_layer(index, layer, pairs or {}) for index, layer in enumerate(decoder.layers))
    return LeanDecoder(
        decoder.embed_tokens.weight,
        layers,
        decoder.norm.weight,
        float(config.rms_norm_eps),
        config.num_attention_heads,
        config.num_key_value_heads,
        width,
        decoder.rotary_emb,
    )


def packed_decoder(lean: LeanDecoder) -> LeanDecoder:
    """The same with every product's weight packed where that is faster: for many steps without gradients. Takes the
    layers' memory once more for as long as it is kept, and does not see the weights change."""

    def laid_out(products: tuple[Product, ...]) -> tuple[Product, ...]:
        return tuple(replace(product, layout=packed(product.weight)) for product in products)

    layers = (
        replace(
            layer,
            qkv=laid_out(layer.qkv),
            out=laid_out(layer.out),
            gate_up=laid_out(layer.gate_up),
            down=laid_out(layer.down),
        )
        for layer in lean.layers
    )
    return replace(lean, layers=tuple(layers))


def _fits(decoder: Any) -> bool:
    config = decoder.config
    if getattr(config, "model_type", None) not in FAMILY or config.hidden_act != "silu":
        return False
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    sliding = getattr(config, "sliding_window", None) is not None and config.model_type != "qwen2"
    scaled = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default") in ("dynamic", "longrope")
    if kinds or sliding or scaled:
        return False
    # A wrapped layer (a LoRA of peft, a quantised one) computes more than its weight says.
    linears = (getattr(getattr(layer, holder), n) for layer in decoder.layers for _, holder, ns in PARTS for n in ns)
    return all(type(linear) is torch.nn.Linear and "forward" not in vars(linear) for linear in linears)


def _layer(index: int, layer: Any, pairs: Mapping[str, tuple[Tensor, Tensor, float]]) -> Layer:
    products = {
        key: _products([(f"layers.{index}.{holder}.{n}", getattr(getattr(layer, holder), n)) for n in names], pairs)
        for key, holder, names in PARTS
    }
    return Layer(norm=layer.input_layernorm.weight, norm_mlp=layer.post_attention_layernorm.weight, **products)


def _products(
    linears: Sequence[tuple[str, Any]], pairs: Mapping[str, tuple[Tensor, Tensor, float]]
) -> tuple[Product, ...]:
    together = joined([linear.weight for _, linear in linears])
    if together is None or len(linears) == 1:
        return tuple(
            Product(linear.weight, linear.bias, _own(pairs.get(name), 0, linear.weight.shape[0]))
            for name, linear in linears
        )
    biases = [linear.bias for _, linear in linears]
    found: tuple[Pair, ...] = ()
    start = 0
    for name, linear in linears:
        end = start + linear.weight.shape[0]
        found += _own(pairs.get(name), start, end)
        start = end
    return (Product(together, None if biases[0] is None else torch.cat(biases), found),)


def _own(pair: tuple[Tensor, Tensor, float] | None, start: int, end: int) -> tuple[Pair, ...]:
    return () if pair is None else (Pair(*pair, start, end),)


def joined(weights: Sequence[Tensor]) -> Tensor | None:
    """One view [sum of rows, I] of weights that lie behind one another in one storage; None where they do not."""
    first = weights[0]
    place = first.storage_offset()
    for weight in weights:
        same = weight.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not same or weight.storage_offset() != place or not weight.is_contiguous():
            return None
        place += weight.numel()
    rows = sum(weight.shape[0] for weight in weights)
    return first.detach().as_strided((rows, first.shape[1]), (first.shape[1], 1), first.storage_offset())


@torch.no_grad()
def lay_together(model: Any) -> None:
    """Move the weights of each layer that read the same input behind one another, so that one product does for all.
    Values, names and memory stay as they are."""
    for layer in model.get_decoder().layers:
        for _, holder, names in PARTS:
            linears = [getattr(getattr(layer, holder, None), name, None) for name in names]
            if len(linears) < 2 or not all(type(linear) is torch.nn.Linear for linear in linears):
                continue
            weights = [linear.weight for linear in linears]  # type: ignore[union-attr]
            if joined(weights) is not None:
                continue
            parts = torch.split(torch.cat(weights), [len(weight) for weight in weights])
            for weight, part in zip(weights, parts, strict=True):
                weight.data = part
