"""`plaudit reward-model evaluate`, `compare` and `explain` as a person meets them."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from infra.contracts import ManualClock, PlauditError
from infra.runtime import JobContext, open_context
from infra.settings import load_settings
from plaudit.cli import app
from reward_model.jobs import run_reward_model
from tests.fixtures.registry import lay_registry
from tests.plaudit.test_cli import plaudit
from tests.reward_model.killing import prepared
from tests.reward_model.test_service import fill

EXCHANGES = 200


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path, registry_template: Path) -> str:
    """Two versions, the second of them shown to be better, and forty prompts that came after both."""
    folder = tmp_path_factory.mktemp("cli")
    path = prepared(folder / "store", tiny_model_dir, EXCHANGES, {"pictures": False})
    lay_registry(registry_template, load_settings(path).data_dir)
    torch.set_num_threads(1)
    clock = ManualClock(1_700_000_100.0)
    context = open_context(load_settings(path), clock)
    for start in (EXCHANGES, EXCHANGES + 40):
        run_reward_model(JobContext(context))
        fill(context, 40, start=start, made_at=clock.advance(60.0))
        clock.advance(1.0)
    context.close()
    return str(path)


def ask(config: str, *arguments: str) -> str:
    """In this process: the libraries are loaded once."""
    done = CliRunner().invoke(app, ["--config", config, "reward-model", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


@pytest.fixture(autouse=True)
def _no_configuration_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The root command puts `--config` into the environment, for children."""
    monkeypatch.setenv("PLAUDIT_CONFIG", "")


def test_a_version_is_measured_on_what_it_did_not_learn_from(config: str) -> None:
    found = json.loads(ask(config, "evaluate", "--json"))
    assert (found["reward_model"], found["state"]) == ("reward@2", "champion")
    heads = found["evaluation"]["heads"]
    assert heads["utility"]["accuracy"]["estimate"] > 0.6
    older = json.loads(ask(config, "evaluate", "1", "--json"))["evaluation"]["heads"]
    assert heads["love"]["judgments"] >= 2 * 40, "the wave that came after it"
    assert older["love"]["judgments"] >= 2 * 80, "both waves"
    assert found["evaluation"]["calibration"]["love"]["reliability"]["predicted"]
    assert found["lines"]


def test_two_versions_are_compared_and_tables_are_for_people(config: str) -> None:
    table = ask(config, "compare", "newest", "1")
    assert "reward@2 minus reward@1" in table
    assert "love" in table
    assert "shown to be better" in table
    found = json.loads(ask(config, "compare", "reward@2", "1", "--json"))
    assert (found["a"], found["b"]) == ("reward@2", "reward@1")
    assert found["by_head"]["love"]["rows"] > 50


def test_an_answer_is_explained(config: str) -> None:
    found = json.loads(ask(config, "explain", "r3", "--json"))
    assert (found["ref"], found["other"], found["label_status"]) == ("reward@2", "reward@1", "final")
    love = next(head for head in found["heads"] if head["name"] == "love")
    assert love["label"] == 1.0
    assert 0.0 < love["value"] < 1.0
    assert love["logit"] == pytest.approx(sum(love["parts"].values()))
    assert list(love["parts"]) == ["average answer", "layer 2, mean", "layer 2, last token"]
    nearest = found["neighbours"][0]
    assert nearest["text"].startswith("great")
    assert -1.0 <= nearest["similarity"] <= 1.0

    table = ask(config, "explain", "r3", "--choice", "1")
    assert "no no no 3" in table
    assert "nearest labelled answers" in table


def test_what_is_not_there_is_said(config: str) -> None:
    for arguments, words in (
        (("explain", "chatcmpl-nobody"), "erased or expired"),
        (("evaluate", "7"), "there are: reward@1 (former), reward@2 (champion)"),
        (("compare", "other@1"), "none yet"),
    ):
        done = CliRunner().invoke(app, ["--config", config, "reward-model", *arguments])
        assert isinstance(done.exception, PlauditError)
        assert words in done.exception.message
    beyond = CliRunner().invoke(app, ["--config", config, "reward-model", "explain", "r3", "--choice", str(2**40)])
    assert (beyond.exit_code, type(beyond.exception)) == (2, SystemExit)


def test_a_failure_is_one_line_and_exit_2(config: str) -> None:
    done = plaudit("--config", config, "reward-model", "compare", "9")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("unknown_version: no reward model is '9'")
    assert "Traceback" not in done.stderr
