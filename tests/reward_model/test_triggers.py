"""A change in what people say is a reason to train; chance, and one loud person, are not."""

import numpy as np

from reward_model.rows import LabelRow
from reward_model.triggers import drifted


def labels(count: int, rate: float, made_at: float, *, people: int | None = None, seed: int = 0) -> list[LabelRow]:
    many = people or count
    draws = np.random.default_rng(seed).random(count) < rate
    return [
        LabelRow(
            (f"r{made_at}-{i}", 0), {"love": float(liked)}, {"love": 1.0}, made_at, judges=(f"u{made_at}-{i % many}",)
        )
        for i, liked in enumerate(draws)
    ]


def test_a_change_of_rates_is_told_in_words() -> None:
    (reason,) = drifted(labels(400, 0.2, 1.0) + labels(200, 0.5, 3.0, seed=1), 2.0, ("love",))
    assert reason.startswith("love: 0.")


def test_no_change_no_news_and_few_people_are_no_drift() -> None:
    assert drifted(labels(400, 0.2, 1.0) + labels(200, 0.2, 3.0, seed=1), 2.0, ("love",)) == ()
    assert drifted(labels(400, 0.2, 1.0), 2.0, ("love",)) == ()
    assert drifted([], 2.0, ("love",)) == ()
    loud = labels(200, 1.0, 3.0, people=1)
    assert drifted(labels(400, 0.2, 1.0) + loud, 2.0, ("love",)) == ()


def test_labels_without_weight_say_nothing() -> None:
    silent = [LabelRow(row.key, row.values, {"love": 0.0}, row.made_at) for row in labels(200, 1.0, 3.0)]
    assert drifted(labels(400, 0.2, 1.0) + silent, 2.0, ("love",)) == ()
