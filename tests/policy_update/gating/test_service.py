"""A stored adapter before the gate again: on a tiny backbone, by the service and by the command."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from infra.db.tables import adapters
from infra.models.errors import AdapterRefused
from infra.runtime import Context, JobContext
from infra.settings.policy_gate import GateSettings
from infra.settings.policy_update import PolicyUpdateSettings
from plaudit.cli import app
from policy_update.gating.report import PICTURE_FILE, VERDICT_FILE
from policy_update.gating.repository import logged_answers
from policy_update.gating.service import KEPT, UnknownAdapter, gate_again, gate_folder, with_budget_of
from policy_update.jobs import run_policy_update
from tests.policy_update.conftest import World


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    """A store with one trained adapter, loop@1, that has been before the gate."""
    place = tmp_path_factory.mktemp("gate")
    assert run_policy_update(JobContext(world(place, lenient()))).detail.startswith("loop@1")
    return place


@pytest.fixture
def opened(folder: Path, world: World) -> Callable[..., Context]:
    """The store under the lenient gate, but what is named."""
    return lambda **gate: world(folder, lenient(**gate))


def lenient(**gate: float) -> PolicyUpdateSettings:
    """A gate that lets anything pass but what `gate` says."""
    wanted = {
        "prompts": 4, "answers_per_prompt": 2, "objective_margin": 50.0, "relevance_margin": 50.0, "harm_margin": 1.0,
        "coherence_margin": 50.0, "repetition_margin": 2.0, "length_ratio": 100.0, "logged_answers": 20,
    } | gate  # fmt: skip
    return PolicyUpdateSettings(
        steps=1, prompts_per_step=2, group_size=2, micro_batch_prompts=2, max_new_tokens=8, min_prompts=8,
        max_prompts=32, lora_rank=2, gate=GateSettings(**wanted),
    )  # fmt: skip


def set_state(context: Context, state: str) -> None:
    with context.database.transaction() as connection:
        connection.execute(update(adapters).values(state=state))


def test_the_first_verdict_and_its_files_are_kept(opened: Callable[..., Context]) -> None:
    context = opened()
    with context.database.reading() as connection:
        gate = connection.execute(select(adapters.c.gate)).scalar_one()
    assert {"reward", "capability", "closing", "language", "mined", "kl_to_base"} <= {c["name"] for c in gate["checks"]}
    place = gate_folder(context.settings, "loop@1")
    assert json.loads((place / VERDICT_FILE).read_text())["passed"] == gate["passed"]
    assert (place / PICTURE_FILE).exists()


def test_a_second_look_gives_the_same_numbers_and_is_kept(opened: Callable[..., Context]) -> None:
    context = opened()
    with context.database.reading() as connection:
        first = connection.execute(select(adapters.c.gate)).scalar_one()
    set_state(context, "refused")
    found = gate_again(context, "loop@1")
    again = {check["name"]: check for check in found.document["checks"]}
    for check in first["checks"]:
        if check["group"] in ("budget", "goal", "capability") and not isinstance(check["value"], str):
            assert again[check["name"]]["value"] == pytest.approx(check["value"], rel=1e-3, abs=1e-5), check["name"]
    with context.database.reading() as connection:
        kept = connection.execute(select(adapters.c.gate)).scalar_one()
    assert kept["checks"] == first["checks"]
    assert kept["again"][-1]["reasons"] == found.document["reasons"]
    assert len(kept["again"]) <= KEPT
    assert found.state == "refused", "a second look gives nothing"


def test_a_waiting_challenger_that_no_longer_passes_is_refused(opened: Callable[..., Context]) -> None:
    context = opened(kl_to_champion=1e-12)
    set_state(context, "challenger")
    found = gate_again(context, "loop@1")
    assert not found.passed
    assert found.state == "refused"
    with context.database.reading() as connection:
        assert connection.execute(select(adapters.c.state)).scalar_one() == "refused"
    set_state(context, "champion")
    assert gate_again(context, "loop@1").state == "champion", "what people have is the experiment's to take away"


def test_a_retraining_from_the_base_has_the_budget_to_the_base() -> None:
    wanted = PolicyUpdateSettings()
    assert with_budget_of(wanted, reset=False).gate.kl_to_champion == 0.25
    assert with_budget_of(wanted, reset=True).gate.kl_to_champion == 0.6


def test_an_unknown_adapter_names_those_there_are(opened: Callable[..., Context]) -> None:
    context = opened()
    with pytest.raises(UnknownAdapter, match=r"no adapter is 'loop@9'; there are: loop@1"):
        gate_again(context, "loop@9")


def test_files_that_are_not_what_was_trained_are_not_examined(opened: Callable[..., Context]) -> None:
    context = opened()
    with context.database.transaction() as connection:
        before = connection.execute(select(adapters.c.file_hashes)).scalar_one()
        connection.execute(update(adapters).values(file_hashes=dict.fromkeys(before, "0" * 64)))
    with pytest.raises(AdapterRefused, match="not what was trained"):
        gate_again(context, "loop@1")
    with context.database.transaction() as connection:
        connection.execute(update(adapters).values(file_hashes=before))


def test_logged_answers_are_those_with_a_final_label(opened: Callable[..., Context]) -> None:
    context = opened()
    with context.database.reading() as connection:
        found = logged_answers(connection, context.settings.project, "love", 30)
        assert logged_answers(connection, context.settings.project, "share", 30) == []
    assert len(found) == 30
    assert {answer.value for answer in found} == {0.0, 1.0}
    assert all(answer.interaction.answers[answer.choice].text for answer in found)


def test_the_command_prints_a_table_or_json_and_its_exit_code_is_the_verdict(
    opened: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = opened(kl_to_base=1e-12)
    monkeypatch.setattr("infra.settings.load_settings", lambda *_: context.settings)
    table = CliRunner().invoke(app, ["policy-update", "gate", "loop@1"], env={"COLUMNS": "200"})
    assert table.exit_code == 1, table.exception
    for word in ("kl_to_base", "closing", "refused:", "over the budget", "against base", "reward@1"):
        assert word in table.stdout, word
    told = CliRunner().invoke(app, ["policy-update", "gate", "loop@1", "--json"])
    found = json.loads(told.stdout)
    assert (told.exit_code, found["adapter"], found["passed"]) == (1, "loop@1", False)
