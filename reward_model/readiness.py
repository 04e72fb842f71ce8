"""Whether there is enough new evidence to train on, and otherwise how much is missing (contract 5). Pure."""

from collections.abc import Sequence

from infra.settings.reward_model import RewardModelSettings
from reward_model.data import LabelRow


def missing_evidence(
    labels: Sequence[LabelRow],
    pair_count: int,
    new_labels: int,
    new_pairs: int,
    objectives: Sequence[str],
    settings: RewardModelSettings,
    *,
    trained_before: bool,
) -> str | None:
    """None when a training is worth its while, else the reason with the numbers still needed.

    One head must be possible: an objective with enough labels of both kinds, or enough pairs. Then enough of both must
    be new since the last reward model's instant (before the first one everything is new).
    """
    best = max((_shortfall(labels, name, settings) for name in objectives), default=(-settings.min_labels, 0))
    missing_pairs = max(0, settings.min_pairs - pair_count)
    if best < (0, 0) and missing_pairs:
        needed = f"{-best[0]} labels ({missing_pairs} pairs) more needed"
        if best[0] == 0:
            needed = f"{-best[1]} labels of the rarer kind ({missing_pairs} pairs) more needed"
        return f"{needed}: no head can be trained yet on {len(labels)} labels and {pair_count} pairs"
    fresh = new_labels + new_pairs
    if fresh < settings.min_new_labels:
        since = "are new since the last reward model" if trained_before else "have come in so far"
        return (
            f"{settings.min_new_labels - fresh} labels (or pairs) more needed: {new_labels} labels and {new_pairs} "
            f"pairs {since}"
        )
    if trained_before and not fresh:
        return "1 label (or pair) more needed: nothing is new since the last reward model"
    return None


def _shortfall(labels: Sequence[LabelRow], objective: str, settings: RewardModelSettings) -> tuple[int, int]:
    """(labels missing, labels of the rarer kind missing), both as numbers <= 0; (0, 0) when a head is possible."""
    values = [value for label in labels if (value := label.values.get(objective)) is not None]
    positive = sum(values)
    rarer = min(positive, len(values) - positive)
    return min(0, len(values) - settings.min_labels), min(0, int(rarer - settings.min_positive))
