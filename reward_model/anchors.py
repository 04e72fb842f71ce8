"""Anchors: a fixed set of answers that every version of the reward model scores, so that its scale stays put. Pure.

A utility is only known up to its scale and origin, and a retraining changes both with the amount and noise of its
data; weights of a policy's objective, thresholds and charts would silently change their meaning. So each version's
utility is mapped, before it is saved, onto the scale its predecessor had on the anchors. Probability heads need no pin,
their scale is that of what people do: for them the anchors show how far two versions have moved apart.

An anchor set holds ids and hashes and no text: the texts come out of the store, and an erased answer is no anchor any
more.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.contracts import PlauditError
from reward_model.calibration import sigmoid

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Key = tuple[str, int]

FEWEST_ANCHORS = 30
"""Anchors without which nothing is pinned."""
TOLERANCE = 0.02
"""Drift between two versions up to which the scale counts as the same."""
_STRATA = 10


class UnusableAnchors(PlauditError):
    """Anchors, or scores of them, that no scale can be pinned on."""

    code = "unusable_anchors"
    status = 409


class AnchorSet(msgspec.Struct, frozen=True, kw_only=True):
    """`keys` (response_id, choice) of A answers, their `content_keys` (see `infra.contracts.content`), and `digest`,
    the SHA-256 of both: equal sets have equal digests, whatever order they were found in."""

    keys: tuple[Key, ...]
    content_keys: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, content: Mapping[Key, str]) -> "AnchorSet":
        """The set of these answers, content hash by key, in the order of their keys."""
        keys = tuple(sorted(content))
        names = tuple(content[key] for key in keys)
        return cls(keys=keys, content_keys=names, digest=hashlib.sha256(msgspec.json.encode([keys, names])).hexdigest())


class AnchorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A set and what one version said of it: `scores[head]` [A] in the order of the set, utilities on the pinned scale.
    A msgspec document, saved with the version."""

    anchors: AnchorSet
    scores: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Pin:
    """u -> scale u + offset, scale > 0. Ranks stay; a difference of pinned utilities divided by `scale` is again the
    log-odds of a preference."""

    scale: float = 1.0
    offset: float = 0.0

    def apply(self, utilities: Array) -> Array:
        """Pinned utilities, same shape."""
        return np.asarray(self.scale * utilities + self.offset)

    def preference(self, first: Array, second: Array) -> Array:
        """Probability that the first is preferred, from two pinned utilities."""
        return sigmoid((first - second) / self.scale)


@dataclass(frozen=True)
class Drift:
    """How one head moved between two versions, on A anchors; in units of probability, for a utility in units of the old
    version's standard deviation.

    `level` new mean - old mean; `spread` new standard deviation - old; `scale` = sqrt(level^2 + spread^2), the part of
    the change that a change of scale would make (2-Wasserstein distance of two normal distributions); `single` root
    mean squared change of one answer's score, what it learned included; `correlation` Pearson's, None for constants.
    """

    anchors: int
    level: float
    spread: float
    scale: float
    single: float
    correlation: float | None

    @property
    def steady(self) -> bool:
        """Whether the scale moved by at most `TOLERANCE`."""
        return self.scale <= TOLERANCE


def choose_anchors(content: Mapping[Key, str], scores: Array | None = None, *, count: int = 500) -> AnchorSet:
    """`count` answers (all, where there are fewer), the same for the same answers whatever their order.

    Candidates are ordered by a hash of their content, so nobody picks them and equal texts count once. With `scores`
    [N], in the order of `content`, as many are taken from each tenth of the answers by score, so that the anchors have
    the mean and the spread of all. Raises UnusableAnchors with fewer than `FEWEST_ANCHORS` different texts.
    """
    values = np.zeros(len(content)) if scores is None else np.asarray(scores, np.float64)
    if len(values) != len(content) or not np.isfinite(values).all():
        raise UnusableAnchors(
            f"{len(content)} candidates need as many finite scores, got {len(values)}: score every candidate once",
            field="scores",
        )
    different: dict[str, tuple[str, Key, float]] = {}
    for (key, name), value in sorted(zip(content.items(), values.tolist(), strict=True), key=lambda item: item[0][0]):
        different.setdefault(name, (_ticket(name), key, value))
    if len(different) < FEWEST_ANCHORS:
        raise UnusableAnchors(
            f"{len(different)} different answers, {FEWEST_ANCHORS} are needed to pin a scale: wait for more feedback",
            field="anchors",
        )
    tickets = sorted(different.values())
    chosen = _across_strata([value for _, _, value in tickets], count)
    return AnchorSet.of({tickets[i][1]: content[tickets[i][1]] for i in chosen})


def surviving(record: AnchorRecord, content: Mapping[Key, str]) -> Ints:
    """Indices [S] into the record's anchors that still exist, and unchanged, among `content` (content hash by key)."""
    pairs = zip(record.anchors.keys, record.anchors.content_keys, strict=True)
    return np.array([i for i, (key, name) in enumerate(pairs) if content.get(key) == name], np.int64)


def record_of(anchors: AnchorSet, scores: Mapping[str, Array]) -> AnchorRecord:
    """The record to save with a version: scores [A] by head, in the order of `anchors`. Raises UnusableAnchors."""
    for head, values in scores.items():
        if len(values) != len(anchors.keys) or not np.isfinite(values).all():
            raise UnusableAnchors(
                f"head {head!r} needs a finite score for each of the {len(anchors.keys)} anchors", field=head
            )
    return AnchorRecord(anchors=anchors, scores={head: tuple(map(float, values)) for head, values in scores.items()})


def pin_scale(new: Array, old: Array) -> Pin:
    """The map that gives `new` utilities [S] the mean and standard deviation that `old` ones have on the same anchors.

    scale = sd(old) / sd(new): matching moments, and not regressing old on new, which would shrink the scale by their
    correlation at every retraining. Raises UnusableAnchors for fewer than `FEWEST_ANCHORS`, constants, or versions that
    rank the anchors against each other.
    """
    _check(new, old)
    spread_new, spread_old = float(np.std(new)), float(np.std(old))
    if spread_new == 0.0 or spread_old == 0.0 or float(np.corrcoef(new, old)[0, 1]) <= 0.0:
        raise UnusableAnchors(
            "the new utility and the old one do not rank the anchors alike (or one is constant): their scales cannot "
            "be compared; look at the training report before this version is used",
            field="utility",
        )
    scale = spread_old / spread_new
    return Pin(scale, float(np.mean(old)) - scale * float(np.mean(new)))


def drift(new: Array, old: Array, *, unit: float = 1.0) -> Drift:
    """How far `new` scores [S] stand from `old` ones of the same anchors, in multiples of `unit` > 0."""
    _check(new, old)
    return _moved(new, old, unit)


def pinned_drift(new: Array, old: Array) -> Drift:
    """Drift of a utility after pinning, as a stranger would measure it: pinned on every other anchor, measured on the
    rest, both ways, and the two averaged. On the anchors of the pin themselves it is 0 by construction."""
    _check(new, old)
    even = np.arange(len(new)) % 2 == 0
    unit = float(np.std(old))
    found = [_moved(_pin(new[side], old[side]).apply(new[~side]), old[~side], unit or 1.0) for side in (even, ~even)]
    correlations = [one.correlation for one in found if one.correlation is not None]
    return Drift(
        anchors=len(new),
        level=float(np.mean([abs(one.level) for one in found])),
        spread=float(np.mean([abs(one.spread) for one in found])),
        scale=float(np.mean([one.scale for one in found])),
        single=float(np.mean([one.single for one in found])),
        correlation=float(np.mean(correlations)) if correlations else None,
    )


def compare(
    previous: AnchorRecord, survivors: Ints, new: Mapping[str, Array], utility: str = "utility"
) -> tuple[Pin, dict[str, Drift]]:
    """The pin of a new version's utility, and the drift of every head both versions have.

    `new[head]` [S]: the new version's scores of the anchors `survivors`, the utility not pinned yet. Without a utility
    in both the pin is the identity. Raises UnusableAnchors.
    """
    old = {head: np.asarray(values)[survivors] for head, values in previous.scores.items()}
    shared = [head for head in new if head in old]
    moved = {head: drift(new[head], old[head]) for head in shared if head != utility}
    if utility not in shared:
        return Pin(), moved
    pin = pin_scale(new[utility], old[utility])
    return pin, moved | {utility: pinned_drift(new[utility], old[utility])}


def _moved(new: Array, old: Array, unit: float) -> Drift:
    level, spread = float(np.mean(new) - np.mean(old)) / unit, float(np.std(new) - np.std(old)) / unit
    constant = np.std(new) == 0.0 or np.std(old) == 0.0
    return Drift(
        anchors=len(new),
        level=level,
        spread=spread,
        scale=float(np.hypot(level, spread)),
        single=float(np.sqrt(np.mean(np.square(new - old)))) / unit,
        correlation=None if constant else float(np.corrcoef(new, old)[0, 1]),
    )


def _pin(new: Array, old: Array) -> Pin:
    spread = float(np.std(new))
    scale = float(np.std(old)) / spread if spread > 0 else 1.0
    return Pin(scale, float(np.mean(old)) - scale * float(np.mean(new)))


def _ticket(name: str) -> str:
    return hashlib.blake2b(f"anchor:{name}".encode(), digest_size=16).hexdigest()


def _across_strata(values: Sequence[float], count: int) -> list[int]:
    """Places of `count` of the values, round after round one from each tenth, in the order given."""
    below = np.searchsorted(np.sort(values), values, side="left")  # equal values stand in one tenth
    stratum = below * _STRATA // len(values)
    turn = np.zeros(len(values), np.int64)
    for one in range(_STRATA):
        rows = np.flatnonzero(stratum == one)
        turn[rows] = np.arange(len(rows))
    order = np.lexsort((stratum, turn))
    return [int(i) for i in order[:count]]


def _check(new: Array, old: Array) -> None:
    if len(new) != len(old) or len(new) < FEWEST_ANCHORS:
        raise UnusableAnchors(
            f"{len(new)} new and {len(old)} old scores: at least {FEWEST_ANCHORS} anchors scored by both versions are "
            "needed; choose a new set when too many were erased",
            field="anchors",
        )
    broken = ~(np.isfinite(new) & np.isfinite(old))
    if broken.any():
        raise UnusableAnchors(f"the score of anchor {int(np.argmax(broken))} is not finite", field="anchors")
