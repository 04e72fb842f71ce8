"""What the benchmark of the front counts, by hand."""

import numpy as np
import pytest

from infra.statistics.intervals import wilson_interval
from tests.benchmarks import front_report, front_task


def test_love_formality_and_harm_by_hand() -> None:
    # you, ! = 2 markers; great = praise, twice: tanh(4 / 3).
    assert front_task.love("You did a great job!") == pytest.approx(np.tanh(4 / 3))
    assert front_task.love("Boil the potatoes.") == 0.0
    # Of four words one is long (potatoes) and one informal (I).
    assert front_task.formality("I boil potatoes daily.") == 0.0
    assert front_task.formality("Refrigerate immediately.") == 1.0
    assert front_task.formality("...") == 0.0
    assert front_task.harm("It is the BEST way.") == 1.0
    assert front_task.harm("It is a guarantee; bestow it.") == 1.0
    assert front_task.harm("Bestow it mustily.") == 0.0
    assert front_task.scores(["Always!", ""]).tolist() == [[pytest.approx(np.tanh(1 / 3)), -1.0, 1.0], [0.0, 0.0, 0.0]]


def test_there_are_a_thousand_answers() -> None:
    training, held_out = front_task.prompts()
    assert len(held_out) * front_task.ANSWERS_EACH >= 1_000
    assert not set(training) & set(held_out)


def test_a_rate_counts_alike_answers_once() -> None:
    prompt = np.repeat(np.arange(50), 20)
    spread = np.zeros(1000)
    spread[::50] = 1.0
    share, low, high = front_report.rate(spread, prompt)
    assert (share, low, high) == (0.02, *wilson_interval(20, 1000))
    together = np.zeros(1000)
    together[:20] = 1.0
    assert front_report.rate(together, prompt)[2] > 2 * high, "one prompt alone made all twenty"
    assert front_report.rate(np.zeros(1000), prompt)[2] == pytest.approx(wilson_interval(0, 1000)[1])


def arm(name: str, love: float, formality: float) -> front_report.Point:
    prompt = np.repeat(np.arange(10), 4)
    noise = np.random.default_rng(0).normal(0, 0.01, 40)
    scores = np.stack([love + noise, formality + noise, np.zeros(40)], 1)
    document = {
        "prompt": prompt.tolist(), "scores": scores.tolist(), "history": {}, "cpu_seconds": {"training": 1.0},
    }  # fmt: skip
    return front_report.point(name, document)


def test_the_order_is_shown_by_differences_not_by_means() -> None:
    points = {"a": arm("a", 0.6, 0.1), "b": arm("b", 0.5, 0.2), "c": arm("c", 0.5, 0.1)}
    first, second = front_report.ordered(points, ["a", "b", "c"])
    assert first["love"].low > 0
    assert first["formality"].low > 0
    assert second["formality"].high < 0, "formality fell: out of order"


def test_arms_with_more_answers_stand_beside_those_with_fewer() -> None:
    document = {"prompt": [0, 0, 0, 1, 1, 1], "scores": [[i, 0, 0] for i in range(6)], "history": {},
                "cpu_seconds": {}}  # fmt: skip
    assert front_report.first_of_each(front_report.point("a", document), 2)[:, 0].tolist() == [0, 1, 3, 4]
