"""Training a reward model from the store to a registered version."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from infra.contracts import OBJECTIVES
from infra.metrics import catalogue as metrics
from infra.runtime import Context
from infra.settings import Settings, config_hash
from reward_model.data import AnswerRow, LabelRow, PairRow, TrainingSet, build_training_set
from reward_model.readiness import missing_evidence
from reward_model.repository import RewardModelRepository, instant_seconds, instant_text

if TYPE_CHECKING:
    from infra.models.loading import LoadedModel
    from reward_model.training import TrainedHeads

Progress = Callable[[float, str], None]

_RATIOS = frozenset(
    {"auroc", "brier", "ece", "base_rate", "flip_rate", "accuracy.estimate", "accuracy.low", "accuracy_bt.estimate"}
)
"""Measures in [0, 1] that are exported; the others stand in the report."""


@dataclass(frozen=True)
class Outcome:
    """`ref` (`name@version`) of the new reward model and its report; or the `skipped` reason."""

    ref: str = ""
    report: dict[str, Any] | None = None
    skipped: str = ""


def load_training_set(context: Context, instant: float) -> TrainingSet:
    """The training set as of `instant` (Unix seconds), rebuilt from the store: the same instant gives the same hash,
    but for rows erased or expired since, which the card counts."""
    settings = context.settings.reward_model
    with context.database.reading() as connection:
        repository = RewardModelRepository(connection, context.settings.project)
        labels, pairs = _evidence(repository, context.settings, instant)
        keys = {row.key for row in labels} | {key for pair in pairs for key in (pair.preferred, pair.other)}
        answers: list[AnswerRow] = repository.answers(keys)
    return build_training_set(
        answers,
        labels,
        pairs,
        objectives_of(labels),
        hold_out_fraction=settings.hold_out_fraction,
        per_person_weight=settings.per_person_weight,
    )


def train(
    context: Context,
    progress: Progress,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    confirm: Callable[[Connection], None] = lambda _connection: None,
) -> Outcome:
    """Train, save and register a reward model, or say what is missing.

    `confirm` is called first in the transaction that registers (see JobContext.confirm_lease). Raises TrainingStopped
    when `should_stop()`; features already made are kept.
    """
    instant = context.clock.now()
    reason = reason_to_wait(context, instant)
    if reason is not None:
        return Outcome(skipped=reason)
    from reward_model.pipeline import fit_on_backbone  # brings torch

    data = load_training_set(context, instant)
    started = time.perf_counter()
    loaded, trained = fit_on_backbone(context.settings, data, progress, should_stop)
    metrics.REWARD_MODEL_TRAINING_SECONDS.observe(time.perf_counter() - started)
    if not trained.objectives:
        return Outcome(skipped=f"no head could be trained: {trained.report['absent']}")
    progress(0.95, "saving")
    return _register(context, data, loaded, trained, instant, confirm)


def objectives_of(labels: list[LabelRow]) -> tuple[str, ...]:
    """The objectives the labels speak of: the standard ones first, in their order, then a deployment's own."""
    named = {name for label in labels for name in label.values}
    return (*(name for name in OBJECTIVES if name in named), *sorted(named - set(OBJECTIVES)))


def _evidence(
    repository: RewardModelRepository, settings: Settings, instant: float
) -> tuple[list[LabelRow], list[PairRow]]:
    wanted = settings.reward_model
    labels = repository.labels_as_of(instant, include_provisional=wanted.include_provisional, limit=wanted.max_labels)
    return labels, repository.pairs_as_of(instant, wanted.max_labels)


def reason_to_wait(context: Context, instant: float) -> str | None:
    """What is still missing for a training at `instant`, with the numbers; None when nothing is."""
    settings = context.settings.reward_model
    with context.database.reading() as connection:
        repository = RewardModelRepository(connection, context.settings.project)
        last = repository.newest(settings.name)
        if last is not None and repository.tainted(last["name"], last["version"]):
            last = None  # somebody it learned from was erased: a clean one is wanted, news or no news
        since = instant_seconds(last["labels_as_of"]) if last is not None else float("-inf")
        new_labels, new_pairs = repository.new_since(
            max(since, 0.0), instant, include_provisional=settings.include_provisional
        )
        labels, pairs = _evidence(repository, context.settings, instant)
    return missing_evidence(
        labels, len(pairs), new_labels, new_pairs, objectives_of(labels), settings, trained_before=last is not None
    )


def _register(
    context: Context,
    data: TrainingSet,
    loaded: "LoadedModel",
    trained: "TrainedHeads",
    instant: float,
    confirm: Callable[[Connection], None],
) -> Outcome:
    """Save the folder, record the run, insert the row: the row comes last and makes it exist."""
    from reward_model.files import write_folder
    from reward_model.pipeline import manifest_of
    from reward_model.report import flat_metrics, summary

    settings = context.settings
    name = settings.reward_model.name
    with context.database.reading() as connection:
        last = RewardModelRepository(connection, settings.project).newest(name)
    version = 1 if last is None else int(last["version"]) + 1
    folder = (settings.data_dir / "reward_models" / name / str(version)).resolve()
    trained.report["summary"] = summary(trained.report["heads"], trained.report["absent"])
    manifest = manifest_of(settings, data, loaded, trained, version, context.clock.now())
    hashes = write_folder(folder, manifest, trained.tensors)
    run_id = _file_run(context, f"{name}@{version}", folder, data, trained)
    row = {
        "name": name,
        "version": version,
        "path": str(folder),
        "base_model_hash": loaded.base_model_hash,
        "file_hashes": hashes,
        "labels_as_of": instant_text(instant),
        "run_id": run_id,
        "created_at": context.clock.now(),
        **_evidence_columns(data, trained),
    }
    with context.database.transaction() as connection:
        confirm(connection)
        RewardModelRepository(connection, settings.project).add(row)
    publish(name, version, flat_metrics(trained.report["heads"]))
    return Outcome(ref=f"{name}@{version}", report=trained.report)


def _file_run(context: Context, ref: str, folder: Path, data: TrainingSet, trained: "TrainedHeads") -> str:
    """The run in the registry: parameters, metrics, files. Its id, empty when the registry is away."""
    from infra.registry import Registry
    from reward_model.report import flat_metrics

    registry = Registry.open(context.settings, context.clock)
    try:
        with registry.run("reward-model", ref, _parameters(context.settings, data)) as run:
            run.log_metrics(flat_metrics(trained.report["heads"]))
            run.log_artifact_dir(folder)
    finally:
        registry.close()
    return run.run_id


def _evidence_columns(data: TrainingSet, trained: "TrainedHeads") -> dict[str, Any]:
    """What the model was trained on and how good it is, as columns of its row."""
    return {
        "metrics": {**trained.report, "card": data.card},
        "data_hash": data.content_hash,
        "labels_used": int(data.card["labels"]),  # type: ignore[call-overload]
    }


def publish(name: str, version: int, flat: dict[str, float]) -> None:
    """The newest reward model's version and held-out numbers as metrics of this process."""
    metrics.REWARD_MODEL_VERSION.labels(name).set(version)
    for path, value in flat.items():
        head, _, measure = path.partition(".")
        if measure in _RATIOS:
            metrics.REWARD_MODEL_HELD_OUT.labels(head, measure).set(value)


def _parameters(settings: Settings, data: TrainingSet) -> dict[str, object]:
    return {
        "config_hash": config_hash(settings),
        "data_hash": data.content_hash,
        "labels": data.card["labels"],
        "pairs": data.card["pairs"],
        **{f"reward_model.{key}": value for key, value in settings.reward_model.model_dump(mode="json").items()},
    }
