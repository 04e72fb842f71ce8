"""What a fine-tuning sees: token sequences, preferences between them, and labels of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infra.contracts import Message
from infra.models.loading import LoadedModel
from reward_model.data import TrainingSet
from reward_model.features import FeatureRecipe, encode
from reward_model.finetuning.options import InvalidFinetuning

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


_RANGES = (
    ("targets", 0.0, 1.0),
    ("pair_soft", 0.5, 1.0),
    ("flip_rates", 0.0, 0.5),
    ("pair_weights", 0.0, np.inf),
    ("weights", 0.0, np.inf),
)
"""What must lie where; targets may be missing."""


@dataclass(frozen=True)
class Examples:
    """N sequences (prompt, answer and closing tokens), M pairs, K objectives.

    pairs [M, 2] indices of sequences, preferred first; pair_weights [M] >= 0; pair_soft [M] in [0.5, 1]; flip_rates [M]
    in [0, 0.5). targets [N, K] in [0, 1], NaN for no label; weights [N, K] >= 0. groups [N] equal where answers are not
    independent (a conversation, a prompt). log_lengths [N] = log(1 + characters of the answer).
    """

    sequences: tuple[tuple[int, ...], ...]
    pairs: Ints
    pair_weights: Floats
    pair_soft: Floats
    flip_rates: Floats
    objectives: tuple[str, ...]
    targets: Floats
    weights: Floats
    groups: Ints
    log_lengths: Floats
    units: tuple[tuple[int, ...], ...] = field(init=False)
    """What is drawn: each pair's two sequences, then every labelled sequence that is in no pair."""
    occurrences: Ints = field(init=False)
    """[N] Units a sequence is in; its labels are shared among them."""

    def __post_init__(self) -> None:
        if not all(self.sequences):
            raise InvalidFinetuning("a sequence has no tokens: leave empty prompts out")
        for name in ("pair_weights", "pair_soft", "flip_rates", "weights", "log_lengths"):
            wrong = np.argwhere(~np.isfinite(getattr(self, name)))
            if len(wrong):
                raise InvalidFinetuning(f"{name} of row {wrong[0, 0]} is not a finite number", field=name)
        for name, low, high in _RANGES:
            values = getattr(self, name)
            wrong = np.argwhere((values < low) | (values > high))  # NaN, which is no label, is neither
            if len(wrong):
                told = f"{name} of row {wrong[0, 0]} is {values[tuple(wrong[0])]}; it must be in [{low}, {high}]"
                raise InvalidFinetuning(told, field=name)
        labelled = (~np.isnan(self.targets) & (self.weights > 0)).any(1)
        paired = np.zeros(len(self.sequences), bool)
        paired[self.pairs.ravel()] = True
        alone = np.flatnonzero(labelled & ~paired)
        units = [(int(first), int(second)) for first, second in self.pairs] + [(int(i),) for i in alone]
        if not units:
            raise InvalidFinetuning("there is neither a pair nor a label to learn from")
        object.__setattr__(self, "units", tuple(units))
        counted = np.bincount([i for unit in units for i in unit], minlength=len(self.sequences))
        object.__setattr__(self, "occurrences", counted.astype(np.int64))

    @property
    def labelled(self) -> list[int]:
        """Objectives with labels of some weight."""
        return [int(k) for k in np.flatnonzero((~np.isnan(self.targets) & (self.weights > 0)).any(0))]

    def digest(self) -> str:
        """Equal only for equal examples."""
        total = hashlib.sha256(repr((self.sequences, self.objectives)).encode())
        for name in ("pairs", "pair_weights", "pair_soft", "flip_rates", "targets", "weights", "groups", "log_lengths"):
            total.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return total.hexdigest()


def closing_ids(loaded: LoadedModel) -> list[int]:
    """The token that ends an answer. Read last, it has seen the whole answer and knows that nothing follows."""
    return [loaded.end_ids[0]]


def encode_closed(
    loaded: LoadedModel, recipe: FeatureRecipe, messages: Sequence[Message], answer: str
) -> tuple[tuple[int, ...], int]:
    """Token ids of prompt, answer and closing, and where the answer starts."""
    ids, start = encode(loaded, recipe, messages, answer)
    return (*ids, *closing_ids(loaded)), start


def examples_of(
    data: TrainingSet, loaded: LoadedModel, recipe: FeatureRecipe, flip_rates: Mapping[str, float] | float = 0.0
) -> Examples:
    """The training side of a training set; `flip_rates` of the pairs, one for all or by source (absent: 0)."""
    rows = data.pair_training
    by_source = [flip_rates.get(s, 0.0) if isinstance(flip_rates, Mapping) else flip_rates for s in data.pair_sources]
    targets = np.where(data.split.training[:, None], data.targets, np.nan)
    return Examples(
        sequences=tuple(encode_closed(loaded, recipe, row.messages, row.text)[0] for row in data.answers),
        pairs=np.asarray(data.pairs[rows], np.int64).reshape(-1, 2),
        pair_weights=data.pair_weights[rows],
        pair_soft=data.pair_soft[rows],
        flip_rates=np.asarray(by_source, float)[rows],
        objectives=data.objectives,
        targets=targets,
        weights=np.nan_to_num(data.weights),
        groups=np.asarray(data.split.groups, np.int64),
        log_lengths=np.log1p([len(row.text) for row in data.answers]),
    )


def preferences(
    loaded: LoadedModel,
    recipe: FeatureRecipe,
    prompts: Sequence[Sequence[Message]],
    chosen: Sequence[str],
    rejected: Sequence[str],
) -> Examples:
    """M hard preferences of weight 1 and nothing else: sequence 2m is preferred to 2m + 1."""
    texts = [text for pair in zip(chosen, rejected, strict=True) for text in pair]
    asked = [messages for messages in prompts for _ in range(2)]
    sequences = [encode_closed(loaded, recipe, m, t)[0] for m, t in zip(asked, texts, strict=True)]
    return from_sequences(sequences, np.log1p([len(text) for text in texts]))


def from_sequences(sequences: Sequence[Sequence[int]], log_lengths: Floats | None = None) -> Examples:
    """Preferences between tokenised sequences: 2m over 2m + 1, hard and of weight 1, each pair a group of its own."""
    count = len(sequences) // 2
    return Examples(
        sequences=tuple(map(tuple, sequences)),
        pairs=np.arange(2 * count, dtype=np.int64).reshape(-1, 2),
        pair_weights=np.ones(count),
        pair_soft=np.ones(count),
        flip_rates=np.zeros(count),
        objectives=(),
        targets=np.full((2 * count, 0), np.nan),
        weights=np.zeros((2 * count, 0)),
        groups=np.repeat(np.arange(count, dtype=np.int64), 2),
        log_lengths=np.log1p([len(s) for s in sequences]) if log_lengths is None else log_lengths,
    )
