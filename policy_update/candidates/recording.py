"""What the store keeps of a candidate: its files, its lineage, and the document of its verdict."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from infra.contracts import AdapterVersion, Fingerprint
from infra.runtime import JobContext
from infra.settings import Settings, config_hash
from policy_update import repository
from policy_update.candidates.examining import common_gain
from policy_update.candidates.front import levels
from policy_update.gating.examination import Examined
from policy_update.plan import TrainingPlan
from policy_update.records import TrainingRun, plain


def adapter_folder(settings: Settings, name: str, version: int) -> Path:
    """Where an adapter is kept."""
    return settings.data_dir / "adapters" / name / str(version)


def fresh_folder(settings: Settings, name: str, version: int) -> Path:
    """The same, empty. The store has no such version, and this run holds the lease: what stands there is a killed
    training's leftover."""
    folder = adapter_folder(settings, name, version)
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def lineage_of(settings: Settings, plan: TrainingPlan, job_run: str, **own: str) -> dict[str, str]:
    """Where a candidate comes from, in words: everything needed to say why it is as it is, and to make it again."""
    prompts = plan.prompts
    told = {
        "reward_model": plan.reward_model,
        "recipe": settings.policy_update.recipe,
        "job_run": job_run,
        "cycle": str(plan.version),
        "turn": str(plan.turn),
        "control": plan.champion,
        "start": plan.start,
        "trigger": plan.trigger,
        "config_hash": config_hash(settings),
        "prompts": f"{len(prompts.training)} to train on, {len(prompts.held_out)} held out",
        "data_since": "" if prompts.since is None else f"{prompts.since:.3f}",
        "data_until": "" if prompts.until is None else f"{prompts.until:.3f}",
        "prompt_file": settings.policy_update.prompt_file,
        "reset": plan.reset,
    }
    return {key: value for key, value in (told | own).items() if value}


def store_candidate(
    job: JobContext,
    plan: TrainingPlan,
    version: int,
    file_hashes: Mapping[str, str],
    fingerprint: Fingerprint,
    lineage: dict[str, str],
    base_model_hash: str,
    run_id: str,
    gate: dict[str, object],
) -> AdapterVersion:
    """Write the row of a candidate that stands in its folder, state `candidate`."""
    settings = job.settings
    adapter = AdapterVersion(
        project=settings.project,
        name=plan.name,
        version=version,
        path=str(adapter_folder(settings, plan.name, version).resolve()),
        base_model_hash=base_model_hash,
        file_hashes=dict(file_hashes),
        fingerprint=fingerprint,
        state="candidate",
        parent=plan.start,
        created_at=job.clock.now(),
        run_id=run_id,
        lineage=lineage,
        gate=gate,
    )
    with job.database.transaction() as connection:
        job.confirm_lease(connection)
        repository.add_adapter(connection, adapter)
    return adapter


def gate_document(
    settings: Settings,
    examined: Examined,
    weights: Mapping[str, float],
    objectives: Mapping[str, float],
    heads: tuple[str, ...],
    label: str,
    outcome: TrainingRun | None,
) -> dict[str, Any]:
    """What the adapter's row keeps for ever: verdict, reasons, every check, its place on the front, the training curve.

    `gain`: what it surely gains under the deployment's `objectives`, the yardstick of the queue. `levels` and
    `champion_levels`: mean and interval of every objective on the held-out prompts.
    """
    verdict, confidence = examined.verdict, settings.policy_update.gate.confidence
    candidate, champion = examined.candidate, examined.champion
    mean, low, high = common_gain(candidate, champion, objectives, confidence)
    document: dict[str, Any] = {
        **verdict.document(),
        "weights": dict(weights),
        "label": label,
        "gain": low,
        "gain_interval": [mean, low, high],
        "levels": levels(candidate.rewards, candidate.prompt, heads, confidence),
        "champion_levels": levels(champion.rewards, champion.prompt, heads, confidence),
        "history": [],
    }
    if outcome is not None:
        document |= {
            "stopped": outcome.stopped,
            "distance": outcome.distance,
            "history": [asdict(record) for record in outcome.history],
        }
    return dict(plain(document))


def told_parts(parts: Mapping[str, float]) -> str:
    """Coefficients by adapter, for the lineage."""
    return json.dumps({ref: round(value, 9) for ref, value in parts.items()})
