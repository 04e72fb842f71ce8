"""No evidence, no training: and the number that is missing is said."""

import pytest

from infra.settings.reward_model import RewardModelSettings
from reward_model.readiness import News, missing_evidence, news_of, shortfall
from reward_model.rows import LabelRow, PairRow

SETTINGS = RewardModelSettings(min_labels=10, min_positive=3, min_pairs=5, min_new_labels=4)


def labels(positive: int, negative: int, weight: float = 1.0, made_at: float = 1.0) -> list[LabelRow]:
    values = [1.0] * positive + [0.0] * negative
    return [
        LabelRow((f"r{made_at}-{i}", 0), {"love": v, "dwell": None}, {"love": weight}, made_at)
        for i, v in enumerate(values)
    ]


def missing(
    found: list[LabelRow],
    pairs: int = 0,
    new: tuple[int, int] = (99, 0),
    before: bool = False,
    news: News | None = None,
    drifted: bool = False,
) -> str | None:
    return missing_evidence(
        found, pairs, *new, ("love", "dwell"), SETTINGS, trained_before=before, news=news, drifted=drifted
    )


def said(reason: str | None) -> str:
    assert reason is not None
    return reason


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
    assert said(missing(labels(positive, negative), pairs)).startswith(begins)


def test_labels_of_one_class_are_called_so() -> None:
    assert said(missing(labels(0, 30))).endswith(
        "all 30 labels of love are negative, of one class, and nothing can be told apart without positive ones"
    )
    assert "all 30 labels of love are positive" in said(missing(labels(30, 0)))
    assert said(missing(labels(2, 28))).endswith("love has 2 positive and 28 negative labels")


def test_enough_of_either_is_enough() -> None:
    assert missing(labels(4, 7)) is None
    assert missing([], pairs=5) is None


def test_labels_that_weigh_nothing_are_no_evidence() -> None:
    """Reading times are recorded at weight 0 until they are seen to predict anything."""
    assert said(missing(labels(10, 10, weight=0.0))).startswith("10 labels (5 pairs) more needed")
    assert shortfall(labels(10, 10, weight=0.0), "love", SETTINGS).labels == 0
    assert shortfall(labels(2, 10), "love", SETTINGS) == shortfall(
        [*labels(2, 10), *labels(3, 3, 0.0)], "love", SETTINGS
    )


def test_a_second_training_wants_news() -> None:
    enough = labels(5, 20)
    assert missing(enough, new=(3, 1), before=True) is None
    assert said(missing(enough, new=(1, 1), before=True)).startswith(
        "2 labels (or pairs) more needed: 1 labels and 1 pairs are new"
    )


def test_nothing_new_is_never_enough() -> None:
    settings = SETTINGS.model_copy(update={"min_new_labels": 0})
    for drifted in (False, True):
        reason = missing_evidence(labels(5, 20), 0, 0, 0, ("love",), settings, trained_before=True, drifted=drifted)
        assert said(reason).startswith("1 labels (or pairs) more needed")
        assert "nothing is new" in said(reason)


def test_after_a_drift_any_news_is_enough() -> None:
    assert missing(labels(5, 20), new=(1, 0), before=True, drifted=True) is None
    assert missing(labels(5, 20), new=(1, 0), before=True) is not None
    assert missing(labels(2, 2), new=(1, 0), before=True, drifted=True) is not None, (
        "a head must be possible all the same"
    )


def test_news_count_as_much_as_they_weigh() -> None:
    old = labels(10, 10)
    ordinary = news_of([*old, *labels(4, 4, made_at=5.0)], [], 2.0, ("love", "dwell"))
    assert ordinary.labels == 8
    assert ordinary.effective == pytest.approx(8.0)
    distrusted = news_of([*old, *labels(4, 4, weight=0.1, made_at=5.0)], [], 2.0, ("love", "dwell"))
    mean = (20 * 1.0 + 8 * 0.1) / 28
    assert distrusted.labels == 8
    assert distrusted.effective == pytest.approx(8 * 0.1 / mean)
    assert said(missing(old, before=True, news=distrusted)) == (
        "3 labels (or pairs) more needed: 8 labels and 0 pairs are new since the last reward model, worth 1.1 of usual "
        "weight"
    )
    assert missing(old, before=True, news=ordinary) is None


def test_unequal_news_are_worth_fewer() -> None:
    pairs = [PairRow(f"p{i}", ("a", 0), ("b", 0), w, "duel", 5.0) for i, w in enumerate((4.0, 1.0, 1.0, 0.0))]
    news = news_of([], pairs, float("-inf"), ())
    assert (news.pairs, news.labels) == (3, 0)
    assert news.effective == pytest.approx(36 / 18)


def test_what_was_made_at_the_last_instant_is_not_new() -> None:
    pairs = [PairRow("p", ("a", 0), ("b", 0), 1.0, "duel", 5.0)]
    assert news_of(labels(3, 3, made_at=5.0), pairs, 5.0, ("love",)) == News(0, 0, 0.0, 0.0)
    assert news_of([], [], 0.0, ()).effective == 0.0
