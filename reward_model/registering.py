"""From fitted heads to a registered version: saved, judged against the champion, evaluated, recorded; then a row."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from infra.registry import Registry
from infra.runtime import Context
from infra.settings import Settings, config_hash
from reward_model.champion import Decision
from reward_model.data import TrainingSet
from reward_model.drafting import write_draft
from reward_model.evaluating import evaluate
from reward_model.files import Manifest, draft_of, publish_folder
from reward_model.findings import Examined, plain
from reward_model.finetuning.drafting import write_finetuned_draft
from reward_model.finetuning.pipeline import FinetunedFitted
from reward_model.finetuning.saved import FinetunedManifest, FinetunedRewardModel
from reward_model.finetuning.saved import publish as publish_finetuned
from reward_model.judging import Standing, decide, load_champion, standing_of
from reward_model.pipeline import Fitted, recipe_of
from reward_model.predicting import Read
from reward_model.report import flat_metrics, summary
from reward_model.repository import RewardModelRepository, instant_text
from reward_model.saving import means_full
from reward_model.scoring import AnyRewardModel, open_reward_model
from reward_model.service import versions_folder
from reward_model.versions_repository import CHALLENGER, VersionRepository

log = logging.getLogger(__name__)

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Registered:
    """A version that exists now: its report, its held-out numbers by `head.metric`, and whether it is champion."""

    name: str
    version: int
    report: dict[str, Any]
    flat: dict[str, float]
    champion: bool

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"


def register(
    context: Context,
    data: TrainingSet,
    fitted: Fitted,
    instant: float,
    progress: Progress,
    confirm: Callable[[Connection], None],
) -> Registered:
    """Save the folder, record the run, insert the row: the row comes last and makes it exist.

    Whatever is raised, nothing is registered, and no half-written folder stays.
    """
    folder = versions_folder(context.settings)
    try:
        return _register(context, data, fitted, instant, progress, confirm)
    finally:
        for draft in folder.glob(".*.part"):
            shutil.rmtree(draft, ignore_errors=True)


def _register(
    context: Context,
    data: TrainingSet,
    fitted: Fitted,
    instant: float,
    progress: Progress,
    confirm: Callable[[Connection], None],
) -> Registered:
    settings, name = context.settings, context.settings.reward_model.name
    standing = standing_of(context)
    version, before = standing.next_version, standing.champion or standing.newest
    folder = versions_folder(settings) / str(version)
    progress(0.86, "saving")
    predecessor = None if before is None else Path(before["path"])
    manifest = _write_draft(settings, data, fitted, folder, version, context.clock.now(), predecessor)
    challenger = _open(draft_of(folder), fitted)
    decision, examined = _measure(context, _read(settings, data, fitted), standing, challenger, progress)
    report, ref = fitted.report, f"{name}@{version}"
    report |= {"champion": decision.document(), "evaluation": examined.document}
    report["summary"] = [*_summary(report, decision, ref), *examined.lines]
    report = plain(report)
    flat = flat_metrics(report["heads"]) | examined.flat
    progress(0.94, "recording")
    if context.settings.reward_model.pictures:
        _draw(examined, draft_of(folder) / "plots", ref)
    hashes = _publish(folder, msgspec.structs.replace(manifest, report=report))
    run_id = _file_run(context, ref, folder, data, flat)
    row = {
        "name": name,
        "version": version,
        "path": str(folder),
        "base_model_hash": fitted.loaded.base_model_hash,
        "file_hashes": hashes,
        "labels_as_of": instant_text(instant),
        "run_id": run_id,
        "state": CHALLENGER,
        **_evidence(data, report),
    }
    _insert(context, row, decision.promoted, confirm)
    return Registered(name, version, report, flat, decision.promoted)


def _write_draft(
    settings: Settings,
    data: TrainingSet,
    fitted: Fitted,
    folder: Path,
    version: int,
    created_at: float,
    predecessor: Path | None,
) -> Manifest | FinetunedManifest:
    """The draft of either kind of version; see `write_draft`."""
    if isinstance(fitted, FinetunedFitted):
        return write_finetuned_draft(settings, data, fitted, folder, version, created_at, predecessor)
    return write_draft(settings, data, fitted, folder, version, created_at, predecessor)


def _open(draft: Path, fitted: Fitted) -> AnyRewardModel:
    """The version as it was written. What its weights said of texts in the training need not be computed again."""
    found = open_reward_model(draft, fitted.loaded)
    if isinstance(found, FinetunedRewardModel) and isinstance(fitted, FinetunedFitted):
        return replace(found, cache=fitted.model.cache)
    return found


def _publish(folder: Path, manifest: Manifest | FinetunedManifest) -> dict[str, str]:
    if isinstance(manifest, FinetunedManifest):
        return publish_finetuned(folder, manifest)
    return publish_folder(folder, manifest)


def _measure(
    context: Context, read: Read, standing: Standing, challenger: AnyRewardModel, progress: Progress
) -> tuple[Decision, Examined]:
    """The challenger against the champion, and everything else that is measured of it."""
    progress(0.88, "judging against the champion")
    champion, problem = load_champion(standing, read)
    decision = decide(context, read, challenger, standing, champion, problem)
    progress(0.9, "evaluating on the hold-out")
    return decision, evaluate(read, challenger, champion, standing.served, context.settings.reward_model)


def _evidence(data: TrainingSet, report: dict[str, Any]) -> dict[str, Any]:
    """What the model was trained on and how good it is, as columns of its row."""
    return {
        "metrics": {**report, "card": plain(data.card)},
        "data_hash": data.content_hash,
        "labels_used": int(data.card["labels"]),
    }


def _insert(context: Context, row: dict[str, Any], promoted: bool, confirm: Callable[[Connection], None]) -> None:
    """The row, and the change of champion with it: one transaction, in which the lease is held."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        confirm(connection)
        RewardModelRepository(connection, context.settings.project).add({**row, "created_at": now})
        if promoted:
            VersionRepository(connection, context.settings.project).promote(row["name"], row["version"], now)


def _draw(examined: Examined, folder: Path, ref: str) -> None:
    """The pictures. None of them is worth a training; a full disk is told as one all the same."""
    try:
        examined.draw(folder, ref)
    except Exception as error:
        if means_full(error):
            raise
        log.warning("reward model: %s goes without pictures: %s: %s", ref, type(error).__name__, error)


def _read(settings: Settings, data: TrainingSet, fitted: Fitted) -> Read:
    recipe = recipe_of(settings, fitted.loaded)
    return Read(data, fitted.loaded, recipe, fitted.features, settings.reward_model.batch_size)


def _summary(report: dict[str, Any], decision: Decision, ref: str) -> list[str]:
    state = f"{ref} is champion" if decision.promoted else f"{ref} is a challenger"
    lines = summary(report["heads"], report["absent"])
    lines += [f"frozen features beside it, {line}" for line in summary(report.get("frozen", {}).get("heads", {}), {})]
    return [*lines, f"{state}: {decision.reason}"]


def _file_run(context: Context, ref: str, folder: Path, data: TrainingSet, flat: dict[str, float]) -> str:
    """The run in the registry: parameters, metrics, files, plots. Its id, empty when the registry is away."""
    registry = Registry.open(context.settings, context.clock)
    try:
        with registry.run("reward-model", ref, _parameters(context.settings, data)) as run:
            run.log_metrics(flat)
            run.log_artifact_dir(folder)
    finally:
        registry.close()
    return run.run_id


def _parameters(settings: Settings, data: TrainingSet) -> dict[str, object]:
    return {
        "config_hash": config_hash(settings),
        "data_hash": data.content_hash,
        "labels": data.card["labels"],
        "pairs": data.card["pairs"],
        **{f"reward_model.{key}": value for key, value in settings.reward_model.model_dump(mode="json").items()},
    }
