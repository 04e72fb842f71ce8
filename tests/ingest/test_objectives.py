"""Objectives: values worked out by hand from the definitions of the design."""

import pytest

from infra.settings.ingest import IngestSettings, ObjectiveSettings
from ingest.objectives import Setting, Signals, UnknownObjective, resolve

OPEN = Setting(closed=False, characters=160)
CLOSED = Setting(closed=True, characters=160)
OBJECTIVES = {objective.name: objective for objective in resolve(IngestSettings().objectives)}


@pytest.mark.parametrize(
    ("name", "signals", "while_open", "at_close"),
    [
        ("love", {"shown": None, "like": None}, 1.0, 1.0),
        ("love", {"shown": None}, None, 0.0),  # silence: nothing, then 0
        ("love", {"shown": None, "dislike": None}, 0.0, 0.0),
        ("love", {"like": None}, None, None),  # never shown: not a trial
        ("love", {}, None, None),
        ("sentiment", {"like": None}, 1.0, 1.0),
        ("sentiment", {"dislike": None}, 0.0, 0.0),
        ("sentiment", {"rating": 0.25}, 0.25, 0.25),
        ("sentiment", {"rating": 0.25, "like": None}, 1.0, 1.0),
        ("sentiment", {"shown": None}, None, None),  # not a voter
        ("dwell", {"dwell": 10.0}, None, 0.5),  # expected: 2 + 160 / 20 = 10 s
        ("dwell", {"dwell": 20.0}, None, 0.75),
        ("dwell", {"dwell": 0.0}, None, 0.0),
        ("dwell", {"shown": None}, None, None),
        ("reuse", {"copy": None}, None, 1.0),
        ("reuse", {"reuse": None}, None, 1.0),
        ("reuse", {"edit": None}, None, 1.0),
        ("reuse", {"shown": None}, None, 0.0),
        ("reuse", {"like": None}, None, None),
        ("share", {"share": None}, 1.0, 1.0),
        ("share", {"shown": None, "like": None}, None, 0.0),
        ("harm", {"report": None}, 1.0, 1.0),
        ("harm", {"dislike": 0.9}, 1.0, 1.0),
        ("harm", {"dislike": 0.89}, None, None),
        ("harm", {"dislike": None, "shown": None}, None, 0.0),
        ("harm", {"shown": None}, None, 0.0),
    ],
)
def test_one_voter(name: str, signals: Signals, while_open: float | None, at_close: float | None) -> None:
    assert OBJECTIVES[name].value([signals], OPEN) == while_open
    assert OBJECTIVES[name].value([signals], CLOSED) == at_close


def test_several_voters_are_averaged_over_those_it_says_something_about() -> None:
    voters: list[Signals] = [{"shown": None, "like": None}, {"shown": None}, {"like": None}, {"shown": None}]
    assert OBJECTIVES["love"].value(voters, CLOSED) == pytest.approx(1 / 3)
    assert OBJECTIVES["sentiment"].value(voters, CLOSED) == 1.0


def test_dwell_never_reaches_one_and_needs_the_length() -> None:
    assert OBJECTIVES["dwell"].value([{"dwell": 200.0}], CLOSED) == pytest.approx(1 - 2**-20)
    assert OBJECTIVES["dwell"].value([{"dwell": 10.0}], Setting(closed=True)) is None


def test_parameters_change_the_value() -> None:
    configured = ObjectiveSettings(definition="dwell", parameters={"base_seconds": 10.0, "characters_per_second": 16.0})
    (objective,) = resolve({"reading": configured})
    assert objective.name == "reading"
    assert objective.value([{"dwell": 20.0}], CLOSED) == 0.5


def test_dwell_teaches_nothing_by_default() -> None:
    assert {name: o.weight for name, o in OBJECTIVES.items()} == {
        "love": 1.0,
        "sentiment": 1.0,
        "dwell": 0.0,
        "reuse": 1.0,
        "share": 1.0,
        "harm": 1.0,
    }


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (ObjectiveSettings(definition="loved"), "ingest.objectives.x.definition"),
        (ObjectiveSettings(definition="love", parameters={"speed": 1.0}), "ingest.objectives.x.parameters.speed"),
        (ObjectiveSettings(definition="reuse", signals=("like",)), "ingest.objectives.x.signals has 'like'"),
        (ObjectiveSettings(definition="dwell", parameters={"base_seconds": 0.0}), "base_seconds is 0.0"),
    ],
)
def test_wrong_configuration_names_field_value_and_remedy(settings: ObjectiveSettings, named: str) -> None:
    with pytest.raises(UnknownObjective, match=named):
        resolve({"x": settings})


def test_a_file_changes_one_key_and_keeps_the_rest() -> None:
    settings = IngestSettings(objectives={"dwell": {"weight": 0.5}, "liked": {"definition": "love"}})  # type: ignore[arg-type]
    assert settings.objectives["dwell"].definition == "dwell"
    assert settings.objectives["dwell"].weight == 0.5
    assert list(settings.objectives) == ["love", "sentiment", "dwell", "reuse", "share", "harm", "liked"]


def test_an_objective_may_see_some_signals_only() -> None:
    (copied,) = resolve({"copied": ObjectiveSettings(definition="reuse", signals=("shown", "copy"))})
    assert copied.value([{"shown": None, "reuse": None}], CLOSED) == 0.0
    assert copied.value([{"shown": None, "copy": None}], CLOSED) == 1.0


def test_windows_of_their_own_and_that_of_all() -> None:
    own = ObjectiveSettings(definition="reuse", window_seconds=50.0)
    objectives = resolve({"reuse": own, "love": ObjectiveSettings(definition="love")}, 10.0)
    assert [objective.window_seconds for objective in objectives] == [50.0, 10.0]
