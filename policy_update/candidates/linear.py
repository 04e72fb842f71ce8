"""Linear combinations of LoRA adapters, exact in the weights they change. Pure functions of tensors.

An adapter changes a layer by D = s B A. A combination changes it by sum_i c_i s_i B_i A_i, which is again one product:
the B_i side by side, each times c_i s_i, and the A_i one over another. Averaging the A and B themselves would not be:
mean(B) mean(A) has cross terms, and differs from the mean of the products by as much as the adapters differ.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Pair(NamedTuple):
    """A layer's change b @ a, the scale in `b`: a (r, I), b (O, r), float32."""

    a: Tensor
    b: Tensor


Layers = Mapping[str, Pair]


def combine(parts: Sequence[tuple[float, Layers]]) -> dict[str, Pair]:
    """sum_i c_i D_i of every layer that any part changes; a layer that a part leaves alone counts as 0 there.

    Exact up to float32: rank of a layer = sum of the ranks of the parts that change it. Parts with c = 0 are left out.
    """
    found: dict[str, list[Pair]] = {}
    for coefficient, layers in parts:
        if coefficient:
            for name, pair in layers.items():
                found.setdefault(name, []).append(Pair(pair.a.float(), coefficient * pair.b.float()))
    return {
        name: Pair(torch.cat([pair.a for pair in pairs], 0), torch.cat([pair.b for pair in pairs], 1))
        for name, pairs in found.items()
    }


def of_rank(layers: Layers, rank: int) -> tuple[dict[str, Pair], float]:
    """Every layer as a product of exactly `rank`, and the share of the squared change that is lost, in [0, 1].

    A lower rank is filled up with zeros; a higher one is cut to its largest singular values, the best such product
    (Eckart & Young 1936), found from QR factors without making any O x I matrix.
    """
    lost = total = 0.0
    found = {}
    for name, pair in layers.items():
        own = pair.a.shape[0]
        if own <= rank:
            a = torch.cat([pair.a, pair.a.new_zeros(rank - own, pair.a.shape[1])], 0)
            b = torch.cat([pair.b, pair.b.new_zeros(pair.b.shape[0], rank - own)], 1)
            total += float(squared_norm(pair))
        else:
            a, b, kept, whole = _cut(pair, rank)
            lost, total = lost + whole - kept, total + whole
        found[name] = Pair(a.contiguous(), b.contiguous())
    return found, lost / total if total else 0.0


def squared_norm(pair: Pair) -> Tensor:
    """||b a||_F^2 = <b' b, a a'>, without the product itself."""
    b, a = pair.b.double(), pair.a.double()
    return ((b.t() @ b) * (a @ a.t())).sum()


def _cut(pair: Pair, rank: int) -> tuple[Tensor, Tensor, float, float]:
    left, left_r = torch.linalg.qr(pair.b.double())
    right, right_r = torch.linalg.qr(pair.a.double().t())
    u, singular, vh = torch.linalg.svd(left_r @ right_r.t(), full_matrices=False)
    root = singular[:rank].sqrt()
    b = (left @ u[:, :rank]) * root
    a = root[:, None] * (vh[:rank] @ right.t())
    squares = singular.square()
    return a.float(), b.float(), float(squares[:rank].sum()), float(squares.sum())
