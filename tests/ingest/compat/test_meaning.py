"""What other products' values say, by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings.ways_in import DEFAULT_METRICS, CompatSettings, MetricSettings
from ingest.compat.meaning import Said, meaning, text_of
from ingest.rules import Problem

METRICS = CompatSettings().metrics
LIKE, DISLIKE = [Said("like")], [Said("dislike")]
NEUTRAL = [Said("like", "withdraw"), Said("dislike", "withdraw")]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("thumbs_up", True, LIKE),
        ("thumbs_up", False, DISLIKE),
        ("thumbs_down", True, DISLIKE),
        ("thumbs_down", False, LIKE),
        ("user-feedback", 1, LIKE),
        ("user-feedback", 0.0, DISLIKE),
        ("user-feedback", 0.5, NEUTRAL),
        ("user-feedback", "Good", LIKE),
        ("user-feedback", "False", DISLIKE),
        ("rating", 0.75, [Said("rating", value=0.75)]),
        ("rating", True, [Said("rating", value=1.0)]),
        ("thumbs_down", 1, DISLIKE),
        ("dwell", 12.5, [Said("dwell", value=12.5)]),
        ("copied", True, [Said("copy")]),
        ("copied", 0, [Said("copy", "withdraw")]),
        ("reported", "rude", [Said("report", text="rude")]),
        ("reported", True, [Said("report")]),
        ("comment", "nice", [Said("comment", text="nice")]),
        ("demonstration", "better", [Said("edit", text="better")]),
        ("demonstration", [{"type": "text", "text": "be"}, {"text": "st"}], [Said("edit", text="best")]),
        ("demonstration", {"answer": 1}, [Said("edit", text='{"answer":1}')]),
    ],
)  # fmt: skip
def test_default_names(name: str, value: Any, expected: list[Said]) -> None:
    assert meaning(name, METRICS[name], value) == expected


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("rating", 4, "invalid_value"),
        ("user-feedback", "so-so", "unknown_category"),
        ("thumbs_up", None, "wrong_type"),
        ("thumbs_up", [1], "wrong_type"),
        ("comment", 3, "wrong_type"),
        ("comment", "", "wrong_type"),
        ("demonstration", [], "wrong_type"),
    ],
)
def test_what_means_nothing_says_why(name: str, value: Any, code: str) -> None:
    found = meaning(name, METRICS[name], value)
    assert isinstance(found, Problem)
    assert (found.code, found.field) == (code, "value")


def test_stars_are_divided_by_their_scale() -> None:
    stars = MetricSettings(signal="rating", low=1, high=5)
    assert meaning("stars", stars, 4) == [Said("rating", value=0.75)]
    assert meaning("stars", stars, 1) == [Said("rating", value=0.0)]
    signed = MetricSettings(signal="vote", low=-1, high=1)
    assert [meaning("vote", signed, value) for value in (-1, 0, 1)] == [DISLIKE, NEUTRAL, LIKE]


def test_files_add_to_the_defaults_key_by_key() -> None:
    settings = CompatSettings.model_validate(
        {"metrics": {"rating": {"high": 5.0}, "smile": {"signal": "vote", "categories": {"yes": 1.0}}}}
    )
    assert settings.metrics.keys() == {*DEFAULT_METRICS, "smile"}
    assert (settings.metrics["rating"].signal, settings.metrics["rating"].high) == ("rating", 5.0)
    with pytest.raises(ValueError, match="a scale has two ends"):
        CompatSettings.model_validate({"metrics": {"rating": {"high": 0.0}}})


@given(st.floats(0, 1), st.floats(-100, 100), st.floats(-100, 100).filter(lambda x: abs(x) > 1e-3))
def test_a_scale_may_run_either_way(share: float, low: float, width: float) -> None:
    metric = MetricSettings(signal="rating", low=low, high=low + width)
    found = meaning("x", metric, low + share * width)
    # The ends may be passed by a rounding error: then the value is refused, not bent.
    if not isinstance(found, Problem):
        ((_, _, value, _),) = found
        assert value == pytest.approx(share, abs=1e-6)


def test_texts_of_other_kinds_are_none() -> None:
    assert [text_of(value) for value in (None, True, 3, 2.5, {}, [])] == [""] * 6
