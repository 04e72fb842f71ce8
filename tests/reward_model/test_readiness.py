"""No evidence, no training: and the number that is missing is said."""

import pytest

from infra.settings.reward_model import RewardModelSettings
from reward_model.data import LabelRow
from reward_model.readiness import missing_evidence

SETTINGS = RewardModelSettings(min_labels=10, min_positive=3, min_pairs=5, min_new_labels=4)


def labels(positive: int, negative: int) -> list[LabelRow]:
    values = [1.0] * positive + [0.0] * negative
    return [LabelRow((f"r{i}", 0), {"love": v, "dwell": None}, {"love": 1.0}, 1.0) for i, v in enumerate(values)]


def missing(found: list[LabelRow], pairs: int = 0, new: tuple[int, int] = (99, 0), before: bool = False) -> str | None:
    return missing_evidence(found, pairs, *new, ("love", "dwell"), SETTINGS, trained_before=before)


def test_nothing_at_all() -> None:
    assert missing_evidence([], 0, 0, 0, (), SETTINGS, trained_before=False) == (
        "10 labels (5 pairs) more needed: no head can be trained yet on 0 labels and 0 pairs"
    )


@pytest.mark.parametrize(
    ("positive", "negative", "pairs", "begins"),
    [
        (2, 4, 1, "4 labels (4 pairs) more needed"),
        (1, 20, 0, "2 labels of the rarer kind (5 pairs) more needed"),
        (20, 2, 0, "1 labels of the rarer kind (5 pairs) more needed"),
    ],
)
def test_what_is_missing_is_counted(positive: int, negative: int, pairs: int, begins: str) -> None:
    reason = missing(labels(positive, negative), pairs)
    assert reason is not None
    assert reason.startswith(begins)


def test_enough_of_either_is_enough() -> None:
    assert missing(labels(4, 7)) is None
    assert missing([], pairs=5) is None


def test_a_second_training_wants_news() -> None:
    enough = labels(5, 20)
    assert missing(enough, new=(3, 1), before=True) is None
    reason = missing(enough, new=(1, 1), before=True)
    assert reason is not None
    assert reason.startswith("2 labels (or pairs) more needed: 1 labels and 1 pairs are new")


def test_nothing_new_is_never_enough() -> None:
    settings = SETTINGS.model_copy(update={"min_new_labels": 0})
    reason = missing_evidence(labels(5, 20), 0, 0, 0, ("love",), settings, trained_before=True)
    assert reason is not None
    assert "nothing is new" in reason
