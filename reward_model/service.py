"""Training a reward model from the store to a registered version."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping

from infra.runtime import Context
from infra.settings import Settings, config_hash
from reward_model import resume
from reward_model.assembly import evidence_as_of, objectives_of, training_set_as_of
from reward_model.data import TrainingSet
from reward_model.readiness import missing_evidence, news_of
from reward_model.repository import RewardModelRepository, instant_seconds
from reward_model.saving import no_space_said
from reward_model.triggers import drifted
from reward_model.versions_repository import VersionRepository

Progress = Callable[[float, str], None]

NEVER = float("-inf")
_FROZEN_SHARE, _SAVED_SHARE = 0.15, 0.86
"""Where on the progress bar of a fine-tuning the frozen heads end, and saving begins."""


@dataclass(frozen=True)
class Outcome:
    """`ref` (`name@version`) of the new reward model, its report and whether it is champion now; or the `skipped`
    reason."""

    ref: str = ""
    report: dict[str, Any] | None = None
    skipped: str = ""
    champion: bool = False


def load_training_set(context: Context, instant: float) -> TrainingSet:
    """The training set as of `instant` (Unix seconds), rebuilt from the store: the same instant gives the same hash,
    but for rows erased or expired since, which the card names."""
    with context.database.reading() as connection:
        return training_set_as_of(connection, context.settings, instant)


def train(
    context: Context,
    progress: Progress,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    confirm: Callable[[Connection], None] = lambda _connection: None,
) -> Outcome:
    """Train, save, judge and register a reward model, or say what is missing.

    A training that was killed is taken up at its own instant and ends as it would have. `confirm` is called first in
    the transaction that registers (see JobContext.confirm_lease). Raises TrainingStopped when `should_stop()`, features
    already made are kept; NoSpaceLeft on a full disk. Whatever is raised, champion and versions are as before.
    """
    now = context.clock.now()
    reason = reason_to_wait(context, now)
    if reason is not None:
        return Outcome(skipped=reason)
    folder = versions_folder(context.settings)
    with no_space_said(context.settings.data_dir):
        wanted = context.settings.reward_model
        attempt = resume.begin(
            folder, now, config_hash(context.settings), wanted.resume_within_seconds, _newest_instant(context)
        )
        outcome = _train_as_of(context, attempt.instant, progress, should_stop, confirm)
        resume.end(folder)
    return outcome


def _train_as_of(
    context: Context,
    instant: float,
    progress: Progress,
    should_stop: Callable[[], bool],
    confirm: Callable[[Connection], None],
) -> Outcome:
    from reward_model.finetuning.pipeline import finetune, forget  # brings torch
    from reward_model.pipeline import fit_on_backbone
    from reward_model.registering import register

    folder = versions_folder(context.settings)
    data = load_training_set(context, instant)
    tuning = context.settings.reward_model.backbone_mode == "finetuned"
    frozen_share = _FROZEN_SHARE if tuning else 1.0
    fitted = fit_on_backbone(
        context.settings, data, lambda share, text: progress(frozen_share * share, text), should_stop
    )
    if not fitted.heads.objectives:
        return Outcome(skipped=f"no head could be trained: {fitted.heads.report['absent']}")
    if tuning:
        fitted = finetune(context.settings, data, fitted, folder, _second_part(progress), should_stop)
    registered = register(context, data, fitted, instant, progress, confirm)
    forget(folder)
    return Outcome(ref=registered.ref, report=registered.report, champion=registered.champion)


def _second_part(progress: Progress) -> Progress:
    """Progress of the fine-tuning: from where frozen heads end to where a version is saved."""
    return lambda share, text: progress(_FROZEN_SHARE + (_SAVED_SHARE - _FROZEN_SHARE) * share, text)


def reason_to_wait(context: Context, instant: float) -> str | None:
    """What is still missing for a training at `instant`, with the numbers; None when nothing is."""
    settings = context.settings.reward_model
    with context.database.reading() as connection:
        repository = RewardModelRepository(connection, context.settings.project)
        last = repository.newest(settings.name)
        if last is not None and _clean_one_is_wanted(connection, context.settings, last):
            last = None  # somebody it learned from was erased: a clean one is wanted, news or no news
        since = instant_seconds(last["labels_as_of"]) if last is not None else 0.0
        evidence = evidence_as_of(connection, context.settings, instant)
    objectives = objectives_of(evidence.labels)
    news = news_of(evidence.labels, evidence.pairs, since, objectives)
    return missing_evidence(
        evidence.labels,
        len(evidence.pairs),
        news.labels,
        news.pairs,
        objectives,
        settings,
        trained_before=last is not None,
        news=news,
        drifted=news.effective >= settings.drift_share * settings.min_new_labels
        and bool(drifted(evidence.labels, since, objectives)),
    )


def versions_folder(settings: Settings) -> Path:
    """Where the versions of this deployment's reward model stand, by number."""
    return (settings.data_dir / "reward_models" / settings.reward_model.name).resolve()


def _newest_instant(context: Context) -> float:
    with context.database.reading() as connection:
        last = RewardModelRepository(connection, context.settings.project).newest(context.settings.reward_model.name)
    return NEVER if last is None else instant_seconds(last["labels_as_of"])


def _clean_one_is_wanted(connection: Connection, settings: Settings, last: RowMapping) -> bool:
    """Whether the newest version, or the champion with no version made since, learned from somebody erased."""
    versions = VersionRepository(connection, settings.project)
    if versions.tainted_at(last["name"], last["version"]) is not None:
        return True
    champion = versions.champion(last["name"])
    tainted_at = None if champion is None else versions.tainted_at(champion["name"], champion["version"])
    return tainted_at is not None and last["created_at"] <= tainted_at
