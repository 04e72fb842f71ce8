"""Which units make up which batch, and how they are weighed: functions of the seed, so that nothing need be kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from infra.models.packing import budgeted, packed_size
from reward_model.finetuning.examples import Examples, Floats
from reward_model.finetuning.objective import PairTerms
from reward_model.finetuning.options import FinetuneOptions


def batch_units(units: int, step: int, batch: int, seed: int) -> list[int]:
    """Units of step 0, 1, ...: each epoch is a permutation of all of them, and a batch may span two epochs."""
    first = step * batch
    found: list[int] = []
    for epoch in range(first // units, (first + batch - 1) // units + 1):
        order = np.random.default_rng([seed, epoch]).permutation(units)
        start, end = max(0, first - epoch * units), min(units, first + batch - epoch * units)
        found += order[start:end].tolist()
    return found


def bootstrap_weights(examples: Examples, ensemble: int, seed: int) -> Floats:
    """[N, 1 + E]: 1 for the first head, Exp(1) for the others, equal within a group (Rubin 1981)."""
    _, group = np.unique(examples.groups, return_inverse=True)
    draws = np.random.default_rng([seed, 1 << 20]).exponential(size=(int(group.max(initial=-1)) + 1, ensemble))
    return np.concatenate([np.ones((len(group), 1)), draws[group]], 1)


@dataclass(frozen=True)
class Batch:
    """Units in the pieces in which they are computed, and the normalisers of the whole: `pair_total` W and
    `label_totals` [K] V_k of `objective`."""

    pieces: tuple[tuple[int, ...], ...]
    pair_total: float
    label_totals: Tensor


class Batches:
    """The batches of one training, with what the loss needs as tensors on `device`."""

    def __init__(self, examples: Examples, options: FinetuneOptions, device: torch.device) -> None:
        self._examples, self._options, self._device = examples, options, device
        self._bootstrap = self._tensor(bootstrap_weights(examples, options.ensemble, options.seed))
        self._targets = self._tensor(examples.targets)
        self._label_weights = self._tensor(examples.weights / np.maximum(examples.occurrences, 1)[:, None])
        self._pair_weights = self._tensor(examples.pair_weights)
        self._soft, self._flips = self._tensor(examples.pair_soft), self._tensor(examples.flip_rates)
        lengths = examples.log_lengths[examples.pairs]
        self._offsets = self._tensor(options.length_slope * (lengths[:, 0] - lengths[:, 1]))
        self.labelled = examples.labelled
        """Objectives with labels: the heads before `utility`, in their order."""
        self._sizes = [packed_size([examples.sequences[i] for i in unit]) for unit in examples.units]

    def __getitem__(self, step: int) -> Batch:
        """Pieces by size, so that short units share a forward pass and a long one has its own."""
        units = batch_units(len(self._examples.units), step, self._options.batch, self._options.seed)
        units.sort(key=lambda u: (self._sizes[u], u))
        pieces = budgeted([self._sizes[u] for u in units], self._options.micro_tokens)
        pairs = [u for u in units if u < len(self._examples.pairs)]
        rows = self.rows(units)
        present = ~torch.isnan(self._targets[rows])
        return Batch(
            tuple(tuple(units[i] for i in piece) for piece in pieces),
            float(self._pair_weights[pairs].sum()),
            (self._label_weights[rows] * present).sum(0),
        )

    def groups(self, piece: Sequence[int]) -> list[list[tuple[int, ...]]]:
        """Sequences of each unit."""
        return [[self._examples.sequences[i] for i in self._examples.units[u]] for u in piece]

    def rows(self, piece: Sequence[int]) -> list[int]:
        """Indices of the sequences of a piece, in the order of its scores."""
        return [i for u in piece for i in self._examples.units[u]]

    def pair_terms(self, utilities: Tensor, piece: Sequence[int]) -> PairTerms:
        """Terms of a piece's pairs, from the utilities [S, 1 + E] of its sequences."""
        place, first, pairs = 0, [], []
        for u in piece:
            if u < len(self._examples.pairs):
                first.append(place)
                pairs.append(u)
            place += len(self._examples.units[u])
        row = torch.tensor(first, dtype=torch.long, device=self._device)
        pair = torch.tensor(pairs, dtype=torch.long, device=self._device)
        owner = [int(self._examples.pairs[u, 0]) for u in pairs]
        weights = self._pair_weights[pair][:, None] * self._bootstrap[owner]
        return PairTerms(
            utilities[row], utilities[row + 1], weights, self._soft[pair], self._flips[pair], self._offsets[pair]
        )

    def labels(self, piece: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Targets [S, K] and weights [S, K, 1 + E] of a piece's sequences."""
        rows = self.rows(piece)
        return self._targets[rows], self._label_weights[rows][:, :, None] * self._bootstrap[rows][:, None, :]

    def _tensor(self, values: Floats) -> Tensor:
        return torch.tensor(np.asarray(values), dtype=torch.float32, device=self._device)
