"""The gate asked again for a stored adapter: the same examination, on the prompts and by the settings of now.

A second look can take away, never give: a challenger that waits for its experiment is refused when it no longer passes;
what was refused stays refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping

from infra.contracts import BASE_ADAPTER, PlauditError
from infra.contracts.adapters import parse_ref
from infra.models.loading import LoadedModel, load_base
from infra.models.lora import verify_files
from infra.models.merging import merged_copy
from infra.registry import Registry
from infra.runtime import Context
from infra.settings import Settings
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update import repository
from policy_update.faces import Models
from policy_update.gating.examination import Examined, examine
from policy_update.gating.report import write_artifacts
from policy_update.gating.repository import known_adapters, logged_answers, record_again, reward_model_row
from policy_update.objectives import available_objectives
from policy_update.prompt_file import read_prompt_file
from policy_update.prompts import Conversation, select_prompts
from policy_update.scoring import RewardSource, rollout_sampler
from reward_model.scoring import AnyRewardModel, open_reward_model

KEPT = 5
"""Second looks that an adapter's row keeps, the newest ones."""
REACTION = "love"
"""The objective whose logged values give advice."""


class UnknownAdapter(PlauditError):
    """No adapter has that name and version, or what it was made with is gone."""

    code = "unknown_adapter"
    status = 404


class NoHeldOutPrompts(PlauditError):
    """There is nothing to examine on."""

    code = "no_held_out_prompts"
    status = 409


@dataclass(frozen=True)
class Again:
    """A second look: the adapter, its state now, and the verdict with all its numbers."""

    ref: str
    state: str
    passed: bool
    document: dict[str, Any]
    folder: Path


def gate_folder(settings: Settings, ref: str) -> Path:
    """Where the files of an adapter's newest verdict lie."""
    name, version = parse_ref(ref)
    return settings.data_dir / "gates" / name / str(version)


def gate_again(context: Context, ref: str, on_progress: Callable[[float], None] = lambda fraction: None) -> Again:
    """Examine a stored adapter against the champion of its day, by the reward model that examined it then.

    Raises UnknownAdapter, NoHeldOutPrompts, AdapterRefused.
    """
    from policy_update.service import teacher_and_examiner  # which imports this room's parts, this one too

    settings = context.settings
    row, model_row = _rows(context, ref)
    base = load_base(settings)
    turn = int(row["lineage"].get("turn", row["version"]))
    _, examiner = teacher_and_examiner(open_reward_model(model_row["path"], base), turn, settings)
    own = row["gate"].get("weights") or settings.policy_update.objectives
    weights = available_objectives(examiner, own, settings.policy_update.rewards.terms)
    wanted = with_budget_of(settings.policy_update, reset=bool(row["lineage"].get("reset")))
    examined = _examine(context, base, _models(context, base, row), examiner, wanted, weights, on_progress)
    document = examined.verdict.document() | {
        "weights": weights,
        "history": row["gate"].get("history", []),
        "champion": champion_of(row),
        "reward_model": row["lineage"]["reward_model"],
        "examined_at": context.clock.now(),
    }
    state = _store(context, row, document)
    folder = gate_folder(settings, ref)
    write_artifacts(folder, document)
    with Registry.open(settings, context.clock).run(
        "policy-gate", ref, {"reward_model": document["reward_model"]}
    ) as run:
        run.set_tags({"passed": examined.verdict.passed, "reasons": "; ".join(examined.verdict.reasons)})
        run.log_artifact_dir(folder, "gate")
    return Again(ref, state, examined.verdict.passed, document, folder)


def champion_of(row: RowMapping) -> str:
    """What everybody was served when the adapter was trained: its parent, unless the training began at the base anew
    or combined several."""
    return str(row["lineage"].get("control", row["parent"]))


def with_budget_of(wanted: PolicyUpdateSettings, *, reset: bool) -> PolicyUpdateSettings:
    """The settings a candidate is examined by. A training that began at the base again is not near the champion, nor
    should it be: its budget is the one to the base."""
    gate = wanted.gate
    if not reset:
        return wanted
    wide = gate.model_copy(update={"kl_to_champion": max(gate.kl_to_champion, gate.kl_to_base)})
    return wanted.model_copy(update={"gate": wide})


def _rows(context: Context, ref: str) -> tuple[RowMapping, RowMapping]:
    project = context.settings.project
    with context.database.reading() as connection:
        known = known_adapters(connection, project)
        if ref not in {name for name, _ in known}:
            there = ", ".join(f"{name} ({state})" for name, state in known) or "none yet"
            raise UnknownAdapter(f"no adapter is {ref!r}; there are: {there}", field="adapter")
        row = repository.adapter_row(connection, project, *parse_ref(ref))
        assert row is not None
        taught_by = row["lineage"].get("reward_model", "")
        model = reward_model_row(connection, project, *parse_ref(taught_by)) if taught_by else None
    if model is None:
        raise UnknownAdapter(
            f"{ref} was trained against reward model {taught_by or '(not recorded)'}, which the store does not hold: "
            "restore its row, or train anew",
            field="adapter",
        )
    return row, model


def _models(context: Context, base: LoadedModel, row: RowMapping) -> Models:
    """Base, candidate and the champion of its day, merged."""
    verify_files(Path(row["path"]), row["file_hashes"])
    reference, champion = base.model, champion_of(row)
    if champion != BASE_ADAPTER:
        with context.database.reading() as connection:
            before = repository.adapter_row(connection, context.settings.project, *parse_ref(champion))
        if before is None:
            raise UnknownAdapter(f"{champion}, the champion before, has no row: restore it", field="adapter")
        verify_files(Path(before["path"]), before["file_hashes"])
        reference = merged_copy(base, Path(before["path"]))
    return Models(base=base, policy=None, sampler=merged_copy(base, Path(row["path"])), reference=reference)


def _examine(
    context: Context,
    base: LoadedModel,
    models: Models,
    examiner: AnyRewardModel,
    wanted: PolicyUpdateSettings,
    weights: dict[str, float],
    on_progress: Callable[[float], None],
) -> Examined:
    settings = context.settings
    with context.database.reading() as connection:
        recent = repository.recent_conversations(connection, settings.project, wanted.max_prompts)
        logged = logged_answers(connection, settings.project, REACTION, wanted.gate.logged_answers)
    given = read_prompt_file(wanted.prompt_file) if wanted.prompt_file else {}
    prompts = select_prompts(recent, wanted.held_out_share, wanted.max_prompts, given)
    if not prompts.held_out:
        raise NoHeldOutPrompts("no held-out prompt is in the store: wait for conversations", field="prompts")

    def sample(model: Any, conversations: Sequence[Conversation], each: int, seed: int) -> Any:
        return rollout_sampler(base, wanted, each)(model, conversations, seed)

    source = RewardSource(base, examiner, weights, wanted.temperature, wanted.rewards, prompts.references)
    score = source.guarded_rewards
    return examine(models, wanted, weights, prompts.held_out, sample, score, on_progress, logged=logged)


def _store(context: Context, row: RowMapping, document: dict[str, Any]) -> str:
    """Keep the second look in the adapter's row; its state afterwards."""
    project, name, version = context.settings.project, str(row["name"]), int(row["version"])
    with context.database.transaction() as connection:
        now = repository.adapter_row(connection, project, name, version)
        assert now is not None
        kept = {key: value for key, value in document.items() if key != "history"}
        gate = {**now["gate"], "again": [*now["gate"].get("again", []), kept][-KEPT:]}
        changed = record_again(connection, project, name, version, gate, refuse=not document["passed"])
    return "refused" if changed else str(now["state"])
