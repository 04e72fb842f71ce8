"""What an adapter computes with: the base's products with LoRA beside them, or products of its own (a merged copy)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from infra.models.errors import AdapterRefused
from infra.models.lean.layers import Product
from infra.models.lean.packed import linear, packed
from infra.models.lean.threads import SMALL, OneThread
from infra.models.lean.weights import PARTS, Layer, LeanDecoder, lean_decoder


@dataclass(frozen=True)
class Beside:
    """LoRA of one product, W x + B (A x): a [R, I] of all modules the product joins, b [O, R] with the scale in it.
    `layout`: a, packed where that is faster."""

    a: Tensor
    b: Tensor
    layout: Tensor | None

    @classmethod
    def of(cls, a: Tensor, b: Tensor) -> "Beside":
        return cls(a, b, packed(a))

    def add_to(self, out: Tensor, x: Tensor, silent: Tensor | None = None) -> None:
        """out [T, O] += B (A x) of x [T, I], without what A x says where `silent` [T, R]."""
        if self.layout is not None and len(x) * self.a.shape[0] * (x.shape[1] + out.shape[1]) <= SMALL:
            with OneThread():
                self._add_to(out, x, silent)
        else:
            self._add_to(out, x, silent)

    def _add_to(self, out: Tensor, x: Tensor, silent: Tensor | None) -> None:
        low = linear(x, self.a, None, self.layout)
        out.addmm_(low if silent is None else low.masked_fill_(silent, 0), self.b.t())


@dataclass(frozen=True, eq=False)
class Voice:
    """One adapter, or the base. `lean` has one product for each part of a layer; `lora[l]` by part, where there is any.
    Products, and the `head` [V, H], are packed where that is faster: `head_layout`.

    Compared by identity: the same name loaded anew is another voice.
    """

    lean: LeanDecoder
    head: Tensor
    lora: tuple[Mapping[str, Beside], ...] | None = None
    head_layout: Tensor | None = None


def voice_of(decoder: Any, head: Tensor) -> Voice | None:
    """The voice of a model's own weights, or None where `lean` does not know its architecture. Weights that do not lie
    together in memory are copied together (`lay_together` beforehand saves that)."""
    lean = lean_decoder(decoder)
    if lean is None:
        return None
    layers = tuple(_one_product_each(layer) for layer in lean.layers)
    return Voice(replace(lean, layers=layers), head, head_layout=packed(head))


def with_lora(base: Voice, pairs: Mapping[str, tuple[Tensor, Tensor]], scale: float) -> Voice | None:
    """`base` with LoRA (A, B) by module name within the decoder beside it; None where a module is not of its layers.

    B is scaled in fp32 and rounded once to the base's type.
    """
    known = {f"layers.{i}.{holder}.{n}" for i in range(len(base.lean.layers)) for _, holder, ns in PARTS for n in ns}
    if set(pairs) - known:
        return None
    layers = []
    for index, layer in enumerate(base.lean.layers):
        own = {}
        for kind, holder, names in PARTS:
            found = [pairs.get(f"layers.{index}.{holder}.{name}") for name in names]
            if any(pair is not None for pair in found):
                own[kind] = _joined(found, _outputs(base.lean, layer, kind), scale, base.lean.embedding)
        layers.append(own)
    return replace(base, lora=tuple(layers))


def _one_product_each(layer: Layer) -> Layer:
    return replace(
        layer,
        qkv=(_one(layer.qkv),),
        out=(_one(layer.out),),
        gate_up=(_one(layer.gate_up),),
        down=(_one(layer.down),),
    )


def _one(products: tuple[Product, ...]) -> Product:
    if len(products) == 1:
        return replace(products[0], layout=packed(products[0].weight))
    biases = [product.bias for product in products if product.bias is not None]
    bias = torch.cat(biases) if len(biases) == len(products) else None
    weight = torch.cat([product.weight for product in products])
    return Product(weight, bias, layout=packed(weight))


def _outputs(lean: LeanDecoder, layer: Layer, kind: str) -> list[int]:
    """How many rows of the joined product belong to each of its modules."""
    total = getattr(layer, kind)[0].weight.shape[0]
    if kind == "qkv":
        return [lean.heads * lean.width, lean.kv_heads * lean.width, lean.kv_heads * lean.width]
    return [total // 2, total // 2] if kind == "gate_up" else [total]


def _joined(found: list[tuple[Tensor, Tensor] | None], outputs: list[int], scale: float, like: Tensor) -> Beside:
    """The pairs of one product as one: A below one another, B in blocks along the diagonal."""
    present = [pair for pair in found if pair is not None]
    a = torch.cat([pair[0].to(like.device) for pair in present])
    b = torch.zeros(sum(outputs), a.shape[0], device=like.device)
    row = column = 0
    for pair, size in zip(found, outputs, strict=True):
        if pair is not None:
            rank = pair[1].shape[1]
            b[row : row + size, column : column + rank] = pair[1].to(like.device).float() * scale
            column += rank
        row += size
    a, b = a.to(like.dtype), b.to(like.dtype)
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):  # joined with others, it would be heard in theirs
        raise AdapterRefused(
            f"weights or lora_alpha are too large for {like.dtype}: retrain it", code="adapter_corrupt"
        )
    return Beside.of(a, b)
