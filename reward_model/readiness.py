"""Whether there is enough new evidence to train on, and otherwise how much is missing (contract 5). Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infra.settings.reward_model import RewardModelSettings
from reward_model.rows import LabelRow, PairRow
from reward_model.weights import effective_news


@dataclass(frozen=True)
class News:
    """What has come in since an instant: labelled answers and pairs, as counted, and how many usual opinions they are
    worth by their weights (`effective_news`; of the objective in which the labels are worth most)."""

    labels: int
    pairs: int
    effective_labels: float
    effective_pairs: float

    @property
    def effective(self) -> float:
        """Opinions of usual weight, labels and pairs together."""
        return self.effective_labels + self.effective_pairs


@dataclass(frozen=True)
class Shortfall:
    """What one objective lacks for a head: labels, and labels of its rarer kind; (0, 0) when one is possible.
    `labels` and `positive` are what it has: labels that say something, and the sum of their values."""

    objective: str
    missing: int
    missing_rarer: int
    labels: int
    positive: float


def news_of(labels: Sequence[LabelRow], pairs: Sequence[PairRow], since: float, objectives: Sequence[str]) -> News:
    """What of `labels` and `pairs` was made after `since` (Unix seconds), and what it is worth."""
    worth = []
    for name in objectives:
        telling = [label for label in labels if _says(label, name)]
        weights = np.array([label.weights.get(name, 1.0) for label in telling], np.float64)
        new = np.array([label.made_at > since for label in telling], bool)
        worth.append(effective_news(weights[new], weights))
    pair_weights = np.array([pair.weight for pair in pairs], np.float64)
    new_pairs = np.array([pair.made_at > since and pair.weight > 0.0 for pair in pairs], bool)
    return News(
        labels=sum(label.made_at > since and any(_says(label, name) for name in objectives) for label in labels),
        pairs=int(new_pairs.sum()),
        effective_labels=max(worth, default=0.0),
        effective_pairs=effective_news(pair_weights[new_pairs], pair_weights),
    )


def missing_evidence(
    labels: Sequence[LabelRow],
    pair_count: int,
    new_labels: int,
    new_pairs: int,
    objectives: Sequence[str],
    settings: RewardModelSettings,
    *,
    trained_before: bool,
    news: News | None = None,
    drifted: bool = False,
) -> str | None:
    """None when a training is worth its while, else the reason with the numbers still needed.

    One head must be possible: an objective with enough labels of both kinds, or enough pairs. Then enough of both must
    be new since the last reward model's instant (before the first one everything is new): of usual weight where `news`
    says what the new ones are worth, else as counted. `drifted`: what is scored is no longer what was learned from, so
    any news is enough.
    """
    reason = _no_head(labels, pair_count, objectives, settings)
    if reason is not None:
        return reason
    if news is not None:
        new_labels, new_pairs = news.labels, news.pairs
    counted = new_labels + new_pairs
    if trained_before and not counted:
        needed = max(settings.min_new_labels, 1)
        return (
            f"{needed} labels (or pairs) more needed: 0 labels and 0 pairs, nothing is new since the last reward model"
        )
    fresh = counted if news is None else news.effective
    if fresh >= settings.min_new_labels or (drifted and trained_before):
        return None
    since = "are new since the last reward model" if trained_before else "have come in so far"
    worth = "" if news is None or counted - fresh < 0.5 else f", worth {fresh:.1f} of usual weight"
    return (
        f"{math.ceil(settings.min_new_labels - fresh)} labels (or pairs) more needed: {new_labels} labels and "
        f"{new_pairs} pairs {since}{worth}"
    )


def shortfall(labels: Sequence[LabelRow], objective: str, settings: RewardModelSettings) -> Shortfall:
    """What `objective` lacks. Labels without a value or weight for it say nothing and do not count."""
    values = [label.values[objective] or 0.0 for label in labels if _says(label, objective)]
    positive = float(sum(values))
    rarer = min(positive, len(values) - positive)
    return Shortfall(
        objective=objective,
        missing=max(0, settings.min_labels - len(values)),
        missing_rarer=max(0, math.ceil(settings.min_positive - rarer - 1e-9)),
        labels=len(values),
        positive=positive,
    )


def _no_head(
    labels: Sequence[LabelRow], pair_count: int, objectives: Sequence[str], settings: RewardModelSettings
) -> str | None:
    """Why no head at all can be trained, of the objective that is nearest to one; None when one can."""
    nothing = Shortfall("", settings.min_labels, settings.min_positive, 0, 0.0)
    found = [shortfall(labels, name, settings) for name in objectives]
    best = min(found, key=lambda short: (short.missing, short.missing_rarer), default=nothing)
    missing_pairs = max(0, settings.min_pairs - pair_count)
    if not missing_pairs or not (best.missing or best.missing_rarer):
        return None
    so_far = f"no head can be trained yet on {len(labels)} labels and {pair_count} pairs"
    if best.missing:
        return f"{best.missing} labels ({missing_pairs} pairs) more needed: {so_far}"
    return (
        f"{best.missing_rarer} labels of the rarer kind ({missing_pairs} pairs) more needed: {so_far}; {_balance(best)}"
    )


def _balance(short: Shortfall) -> str:
    negative = short.labels - short.positive
    if min(short.positive, negative) < 1e-9:
        only, other = ("positive", "negative") if short.positive else ("negative", "positive")
        return (
            f"all {short.labels} labels of {short.objective} are {only}, of one class, and nothing can be told apart "
            f"without {other} ones"
        )
    return f"{short.objective} has {short.positive:.0f} positive and {negative:.0f} negative labels"


def _says(label: LabelRow, objective: str) -> bool:
    return label.values.get(objective) is not None and label.weights.get(objective, 1.0) > 0.0
