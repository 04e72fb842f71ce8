"""One number a person and metric."""

import pytest

from ab_testing.metrics import UnknownMetricObjective, check_objectives, person_value
from infra.settings.ab_testing import DEFAULT_METRICS, MetricSettings

LOVE, HARM, FEEDBACK = DEFAULT_METRICS


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([], None),
        ([{"love": None}, {}], None),
        ([{"love": 0.0}, {"love": None}], 0.0),
        ([{"love": 0.0}, {"love": 1.0}], 1.0),
        ([{"love": 0.5}], 1.0),
        ([{"love": 0.49}], 0.0),
    ],
)
def test_love_is_any_loved_answer_among_those_shown(
    labels: list[dict[str, float | None]], expected: float | None
) -> None:
    assert person_value(LOVE, labels, responded=True) == expected


def test_harm_counts_everybody() -> None:
    assert person_value(HARM, [], responded=False) == 0.0
    assert person_value(HARM, [{"harm": 0.0}, {"harm": 1.0}], responded=False) == 1.0


def test_feedback_rate() -> None:
    assert person_value(FEEDBACK, [{"love": 0.0}], responded=True) == 1.0
    assert person_value(FEEDBACK, [{"love": 0.0}], responded=False) == 0.0
    assert person_value(FEEDBACK, [], responded=False) == 0.0


def test_mean_over_answers() -> None:
    metric = MetricSettings(name="dwell", objective="dwell", role="goal", aggregate="mean")
    assert person_value(metric, [{"dwell": 0.2}, {"dwell": 0.6}, {"dwell": None}], responded=False) == pytest.approx(
        0.4
    )


def test_a_misnamed_objective_never_passes_silently() -> None:
    check_objectives(DEFAULT_METRICS)
    with pytest.raises(UnknownMetricObjective, match=r"'lvoe'.*love"):
        check_objectives([MetricSettings(name="love", objective="lvoe", role="goal")])
