"""One number a person and metric."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_testing.metrics import (
    Number,
    UnknownMetricObjective,
    check_objectives,
    covariate_of,
    person_number,
    person_value,
)
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


COUNT = MetricSettings(name="loves", objective="love", role="goal", aggregate="sum", missing="zero", cap=4.0)
SHARE = MetricSettings(name="liked", objective="love", role="goal", aggregate="ratio", missing="zero", cap=4.0)
PER = MetricSettings(
    name="per", objective="share", role="goal", aggregate="ratio", denominator="love", missing="zero", cap=2.0
)
RETURN = MetricSettings(name="back", objective="return", role="guardrail")


@pytest.mark.parametrize(
    ("metric", "labels", "expected"),
    [
        (COUNT, [{"love": 1.0}, {"love": 0.5}, {"love": None}], Number(1.5 / 4)),
        (COUNT, [{"love": 1.0}] * 9, Number(1.0)),  # capped: the estimand is the capped mean
        (COUNT, [], Number(0.0)),
        (SHARE, [{"love": 1.0}, {"love": 0.0}, {"harm": 1.0}], Number(1 / 4, 2 / 4)),
        (SHARE, [{"love": 1.0}] * 2 + [{"love": 0.0}] * 6, Number(0.25, 1.0)),  # own ratio kept, weight capped
        (SHARE, [{}], Number(0.0, 0.0)),
        (PER, [{"love": 1.0, "share": 1.0}, {"love": 1.0, "share": 0.0}, {"share": 1.0}], Number(0.5, 1.0)),
        (RETURN, [], Number(0.0)),
    ],
)
def test_sums_and_ratios(metric: MetricSettings, labels: list[dict[str, float | None]], expected: Number) -> None:
    assert person_number(metric, labels, responded=False) == expected


@given(st.lists(st.fixed_dictionaries({"love": st.floats(0, 1), "share": st.floats(0, 1)})), st.floats(0.01, 50))
def test_a_ratio_is_never_above_its_denominator_nor_that_above_one(labels: list[dict[str, float]], cap: float) -> None:
    for denominator in ("answers", "share"):
        metric = SHARE.model_copy(update={"cap": cap, "denominator": denominator})
        number = person_number(metric, labels, responded=False)  # type: ignore[arg-type]
        assert number.value is not None
        assert number.denominator is not None
        assert 0 <= number.value <= number.denominator <= 1


def test_covariates_are_the_same_thing_before_exposure() -> None:
    labels: list[dict[str, float | None]] = [{"love": 1.0}, {"love": 0.0}, {"love": None}, {"love": 0.5}]
    assert covariate_of(LOVE, labels, 0, 3, 14.0) == 0.5
    assert covariate_of(FEEDBACK, labels, 3, 3, 14.0) == 0.75
    assert covariate_of(RETURN, labels, 0, 7, 14.0) == 0.5
    assert covariate_of(LOVE, [], 0, 0, 14.0) is None
    assert covariate_of(FEEDBACK, [], 0, 0, 14.0) is None


def test_settings_refuse_what_no_test_can_use() -> None:
    with pytest.raises(ValueError, match="missing = 'zero'"):
        MetricSettings(name="x", objective="love", role="goal", aggregate="ratio")
    with pytest.raises(ValueError, match="one number a person"):
        MetricSettings(name="x", objective="return", role="goal", aggregate="sum")
    with pytest.raises(UnknownMetricObjective, match="'lvoe'"):
        check_objectives([SHARE.model_copy(update={"denominator": "lvoe"})])
    check_objectives([SHARE, PER, RETURN, FEEDBACK])
