"""Repeated judgments of the same two texts, brought together: who said what about which pair. Pure numpy.

A *pair* is two texts in one fixed order; a *judgment* is one person's record about it. In production most pairs are
judged once; duels, regenerations of one prompt and honeypots are judged by several people, and only then can what
people think be told from how they err without trusting a model.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.contracts import PlauditError

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


class InvalidJudgments(PlauditError):
    """Judgments whose columns do not fit together."""

    code = "invalid_judgments"
    status = 400


@dataclass(frozen=True)
class Judgments:
    """M judgments of U pairs by K judges out of S sources.

    pair [M] in [0, U); says [M] in [0, 1], the recorded probability that the pair's first text is preferred (1 and 0
    are hard records, 1/2 a tie); judge [M] in [0, K); source [K] in [0, S): where a judge's records come from (a person
    who judges through two sources is two judges); weight [M] >= 0, relative to the other judgments of the same pair.
    `people` [K] names the judges, None for a record whose author is unknown: each such record is a judge of its own.
    """

    pair: Ints
    says: Array
    judge: Ints
    source: Ints
    weight: Array
    people: tuple[str | None, ...]
    source_names: tuple[str, ...]
    pairs: int

    @property
    def count(self) -> int:
        """M."""
        return len(self.pair)

    @property
    def judges(self) -> int:
        """K."""
        return len(self.people)

    @property
    def redundant(self) -> bool:
        """Whether some pair was judged twice, or some judge judged twice: what a joint likelihood can learn from."""
        return bool(self.count > self.pairs or self.count > self.judges)

    def of(self, rows: NDArray[np.bool_]) -> "Judgments":
        """Those of `rows` [M], with pairs, judges and sources numbered as before."""
        return Judgments(
            self.pair[rows],
            self.says[rows],
            self.judge[rows],
            self.source,
            self.weight[rows],
            self.people,
            self.source_names,
            self.pairs,
        )


def gather(
    pair: Ints,
    says: Array,
    *,
    people: Sequence[str | None] | None = None,
    sources: Sequence[str] | None = None,
    weight: Array | None = None,
) -> Judgments:
    """Judgments out of columns [M]; pairs are numbered 0 to max(pair). Raises InvalidJudgments.

    Without `people` every record has an unknown author; without `sources` all come from one.
    """
    count = len(pair)
    people = [None] * count if people is None else people
    sources = ["all"] * count if sources is None else sources
    weight = np.ones(count) if weight is None else weight
    for name, column in (("says", says), ("people", people), ("sources", sources), ("weight", weight)):
        if len(column) != count:
            raise InvalidJudgments(f"{name} has {len(column)} rows, pair has {count}: give one a judgment", field=name)
    _check("says", np.asarray(says), 1.0)
    _check("weight", np.asarray(weight), np.inf)
    source_names, source = np.unique(np.asarray(sources, dtype=object).astype(str), return_inverse=True)
    keys: list[Hashable] = [
        (i, None) if person is None else (str(person), int(s))
        for i, (person, s) in enumerate(zip(people, source.reshape(-1), strict=True))
    ]
    first: dict[Hashable, int] = {}
    judge = np.array([first.setdefault(key, len(first)) for key in keys], np.int64)
    where = np.unique(judge, return_index=True)[1]
    return Judgments(
        np.asarray(pair, np.int64),
        np.asarray(says, np.float64),
        judge,
        np.asarray(source.reshape(-1)[where], np.int64),
        np.asarray(weight, np.float64),
        tuple(people[int(i)] for i in where),
        tuple(str(name) for name in source_names),
        int(np.max(pair)) + 1 if count else 0,
    )


def same_pairs(preferred: Sequence[Hashable], other: Sequence[Hashable]) -> tuple[Ints, Ints]:
    """(pair [M], direction [M]): equal numbers where the same two texts stand against each other, in either order;
    direction 1 where `preferred` is the text that came first when the pair was first judged, else -1.

    `preferred`, `other` [M]: what identifies a text together with its prompt (`AnswerRow.content_key`).
    """
    numbers: dict[frozenset[Hashable], tuple[int, Hashable]] = {}
    pair, direction = np.zeros(len(preferred), np.int64), np.ones(len(preferred), np.int64)
    for i, (one, two) in enumerate(zip(preferred, other, strict=True)):
        number, first = numbers.setdefault(frozenset((one, two)), (len(numbers), one))
        pair[i], direction[i] = number, 1 if first == one else -1
    return pair, direction


def same_differences(differences: Array) -> tuple[Ints, Ints]:
    """`same_pairs` where only the differences of features [M, R] are known: rows equal up to their sign and rounding
    (to nine significant digits of the largest entry). A row of zeros is a pair of its own."""
    if not len(differences):
        return np.zeros(0, np.int64), np.ones(0, np.int64)
    unit = float(np.abs(differences).max()) * 1e-9 or 1.0
    rounded = np.rint(differences / unit).astype(np.int64)
    leading = rounded[np.arange(len(rounded)), (rounded != 0).argmax(1)]
    direction = np.where(leading < 0, -1, 1)
    keys = [row.tobytes() if row.any() else i.to_bytes(8, "big") for i, row in enumerate(rounded * direction[:, None])]
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(key, len(first)) for key in keys], np.int64), np.asarray(direction, np.int64)


def relative_weights(pair: Ints, weights: Array) -> tuple[Array, Array]:
    """(weight of each pair [U], weight of each judgment relative to it [M]): the pair weighs as its weightiest
    judgment, so that two equal judgments of weight v are one joint term of weight v."""
    heaviest = np.zeros(int(pair.max()) + 1 if len(pair) else 0)
    np.maximum.at(heaviest, pair, weights)
    return heaviest, np.asarray(weights / np.maximum(heaviest[pair], 1e-300))


def _check(name: str, values: Array, largest: float) -> None:
    wrong = ~((values >= 0.0) & (values <= largest) & np.isfinite(values))
    if wrong.any():
        row = int(wrong.argmax())
        raise InvalidJudgments(f"{name} is {values[row]} in row {row}; it must be in [0, {largest:g}]", field=name)
