"""What a cycle tries: its weightings, and the combinations of what was trained. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from infra.contracts import BASE_ADAPTER

PLAIN = "trained"
"""Name of the only weighting where none is named."""


@dataclass(frozen=True)
class Combination:
    """A candidate that costs no training: sum of `parts` (coefficient by `name@version`; the base is 0), and the
    weights it is judged by. `kind` is soup or expo; `label` says it to people."""

    kind: str
    label: str
    parts: Mapping[str, float]
    weights: Mapping[str, float]


@dataclass(frozen=True)
class Trained:
    """A trained adapter of this cycle: its name, its weighting's name, and the weights."""

    ref: str
    weighting: str
    weights: Mapping[str, float]


def weightings(
    objectives: Mapping[str, float], named: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Name -> weights of every training of a cycle: each named weighting over the objectives, or these alone."""
    return {name: {**objectives, **own} for name, own in named.items()} or {PLAIN: dict(objectives)}


def free_candidates(
    trained: Sequence[Trained],
    start: str,
    objectives: Mapping[str, float],
    *,
    soups: bool,
    extrapolations: Sequence[float],
) -> list[Combination]:
    """The combinations to try: soups of all and (of three) of each pair, then extrapolations of each training.

    `start`: the adapter the trainings began from (`base`, or the champion's `name@version`). A soup is judged by the
    mean of its parts' weights. ExPO: start + (1 + a) (adapter - start), which for a start other than the base is
    (1 + a) adapter - a start.
    """
    found = []
    if soups and len(trained) > 1:
        groups = [tuple(trained), *(combinations(trained, 2) if len(trained) > 2 else ())]
        found += [_soup(group, objectives) for group in groups]
    for a in extrapolations:
        for one in trained:
            parts = {one.ref: 1.0 + a} | ({} if start == BASE_ADAPTER else {start: -a})
            found.append(Combination("expo", f"{one.weighting} x {1 + a:g}", parts, one.weights))
    return found


def _soup(group: Sequence[Trained], objectives: Mapping[str, float]) -> Combination:
    share = 1.0 / len(group)
    names = dict.fromkeys([*objectives, *(name for one in group for name in one.weights)])
    weights = {name: share * sum(one.weights.get(name, 0.0) for one in group) for name in names}
    return Combination(
        "soup", "soup of " + ", ".join(one.weighting for one in group), {one.ref: share for one in group}, weights
    )
