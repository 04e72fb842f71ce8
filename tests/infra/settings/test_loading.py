import os
import re
from pathlib import Path

import pytest

from infra.settings import InvalidSettings, Settings, load_settings


def _write(text: str, name: str = "plaudit.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def test_without_anything_the_defaults_hold() -> None:
    assert load_settings() == Settings()


def test_the_file_in_the_working_directory_counts() -> None:
    _write('project = "shop"\n[jobs]\nheartbeat_seconds = 2')
    settings = load_settings()
    assert (settings.project, settings.jobs.heartbeat_seconds) == ("shop", 2.0)


def test_a_number_that_is_none_is_refused_wherever_it_stands() -> None:
    _write("[policy_update]\nlearning_rate = nan\n[policy_update.objectives]\nlove = inf\n")
    with pytest.raises(InvalidSettings) as raised:
        load_settings()
    assert "finite number" in raised.value.message


def test_a_named_file_counts_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    _write('project = "shop"')
    other = _write('project = "other"', "other.toml")
    assert load_settings(other).project == "other"
    monkeypatch.setenv("PLAUDIT_CONFIG", "other.toml")
    assert load_settings().project == "other"


def test_flags_win_over_environment_over_file_over_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = {"jobs": {"label_every_seconds": 1, "decide_every_seconds": 1, "heartbeat_seconds": 1}, "project": "one"}
    assert load_settings(profile=profile).project == "one"
    _write('project = "two"\njobs = { label_every_seconds = 2, decide_every_seconds = 2 }')
    monkeypatch.setenv("PLAUDIT_PROJECT", "three")
    monkeypatch.setenv("PLAUDIT_JOBS__DECIDE_EVERY_SECONDS", "3")
    settings = load_settings(overrides={"project": "four"}, profile=profile)
    jobs = settings.jobs
    assert settings.project == "four"
    assert (jobs.decide_every_seconds, jobs.label_every_seconds, jobs.heartbeat_seconds) == (3, 2, 1)


def test_overrides_may_have_dotted_names() -> None:
    settings = load_settings(overrides={"jobs.heartbeat_seconds": 1, "jobs": {"child_niceness": 3}})
    assert (settings.jobs.heartbeat_seconds, settings.jobs.child_niceness) == (1, 3)


def test_lists_and_tables_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAUDIT_REWARD_MODEL__LAYERS", "[1, 2]")
    monkeypatch.setenv("PLAUDIT_INGEST__OBJECTIVES__LOVE__WEIGHT", "3")
    settings = load_settings()
    assert settings.reward_model.layers == (1, 2)
    assert settings.ingest.objectives["love"].weight == 3
    assert settings.ingest.objectives["love"].definition == "love"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "[jobs]\nhartbeat_seconds = 2",
            "unknown setting 'jobs.hartbeat_seconds'; did you mean 'jobs.heartbeat_seconds'",
        ),
        ("[ingst]\nwindow_seconds = 2", "unknown setting 'ingst'; did you mean 'ingest'"),
        ("window_seconds = 2", "unknown setting 'window_seconds'; did you mean 'ingest.window_seconds'"),
        ("[store]\nheartbeat_seconds = 2", "did you mean 'jobs.heartbeat_seconds'"),
        ("[ingest.objectives.love]\nwieght = 2", "did you mean 'ingest.objectives.love.weight'"),
        ("qqq = 1", "unknown setting 'qqq'; see `plaudit config show`"),
    ],
)
def test_an_unknown_key_names_file_key_and_the_nearest(text: str, says: str) -> None:
    _write(text)
    with pytest.raises(InvalidSettings, match=re.escape(says)) as raised:
        load_settings()
    assert str(raised.value).startswith("plaudit.toml: ")


def test_all_unknown_keys_are_named_at_once() -> None:
    _write("[jobs]\nhartbeat_seconds = 2\nchild_nicenes = 3")
    with pytest.raises(InvalidSettings) as raised:
        load_settings()
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("PLAUDIT_JOB__HEARTBEAT_SECONDS", "did you mean PLAUDIT_JOBS__HEARTBEAT_SECONDS?"),
        ("PLAUDIT_JOBS_HEARTBEAT_SECONDS", "did you mean PLAUDIT_JOBS__HEARTBEAT_SECONDS?"),
        ("plaudit_projct", "did you mean PLAUDIT_PROJECT?"),
        ("PLAUDIT_QQQ", "see `plaudit config show`"),
    ],
)
def test_an_unknown_variable_names_the_nearest(variable: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(InvalidSettings, match=re.escape(f"{variable} names no setting; {says}")):
        load_settings()


def test_variables_that_are_no_settings_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAUDIT_SHARED", "somewhere")
    monkeypatch.setenv("PLAUDIT_TEST_KAFKA", "host:1")
    assert load_settings() == Settings()


def test_a_bad_value_names_where_what_and_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    _write("[jobs]\nheartbeat_seconds = -1")
    with pytest.raises(InvalidSettings) as raised:
        load_settings()
    assert str(raised.value) == (
        "plaudit.toml: jobs.heartbeat_seconds = -1: Input should be greater than 0; "
        "correct it there, or set PLAUDIT_JOBS__HEARTBEAT_SECONDS"
    )
    monkeypatch.setenv("PLAUDIT_JOBS__HEARTBEAT_SECONDS", "soon")
    with pytest.raises(InvalidSettings, match=r"PLAUDIT_JOBS__HEARTBEAT_SECONDS: jobs\.heartbeat_seconds = 'soon'"):
        load_settings()


@pytest.mark.parametrize(
    ("loss", "says"), [("nope", "or 'truncated_hinge'; correct"), ("hubert_bt", "mean 'huber_bt'")]
)
def test_a_name_that_is_no_choice_is_answered_with_the_names(loss: str, says: str) -> None:
    _write(f'[reward_model]\nloss = "{loss}"')
    with pytest.raises(InvalidSettings, match=re.escape(f"plaudit.toml: reward_model.loss = '{loss}': ")) as raised:
        load_settings()
    assert says in str(raised.value)
    assert "'bt', 'forward_corrected'" in str(raised.value)


def test_a_bad_secret_is_not_shown() -> None:
    with pytest.raises(InvalidSettings) as raised:
        load_settings(overrides={"user_key_secret": 12345})
    assert "12345" not in str(raised.value)


def test_bad_json_in_a_variable_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAUDIT_JOBS", "{")
    with pytest.raises(InvalidSettings, match="written as JSON"):
        load_settings()


def test_a_missing_file_that_was_named_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSettings, match=r"'nowhere\.toml' does not exist"):
        load_settings(Path("nowhere.toml"))
    monkeypatch.setenv("PLAUDIT_CONFIG", "nowhere.toml")
    with pytest.raises(InvalidSettings, match="does not exist"):
        load_settings()


def test_a_broken_file_names_the_line() -> None:
    _write("project = \n")
    with pytest.raises(InvalidSettings, match=r"plaudit\.toml is not TOML: .*line 1"):
        load_settings()


def test_settings_made_in_code_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAUDIT_PROJECT", "outside")
    assert Settings().project == "default"
    assert os.environ["PLAUDIT_PROJECT"] == "outside"


@pytest.mark.parametrize(
    "row", ["l2_grid = []", "l2_grid = [nan]", "thresholds = [1.0]", "thresholds = []", "layers = []"]
)
def test_grids_with_which_no_head_can_be_fitted_are_refused_before_the_training(row: str) -> None:
    _write(f"[reward_model]\n{row}")
    with pytest.raises(InvalidSettings, match=f"reward_model.{row.partition(' ')[0]}"):
        load_settings()
