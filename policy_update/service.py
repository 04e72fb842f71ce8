"""One policy update from plan to verdict: load, train, save with a fingerprint, examine, write down."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection

from infra.contracts import AdapterVersion
from infra.models.fingerprint import measure
from infra.models.loading import load_base
from infra.models.lora import save_adapter
from infra.registry import Registry
from infra.runtime import JobContext, JobOutcome, TryLater
from infra.settings import Settings
from policy_update import repository
from policy_update.algebra.options import recipe_named
from policy_update.faces import Models, assemble_models
from policy_update.gating.examination import Examined, examine
from policy_update.gating.report import write_artifacts
from policy_update.gating.repository import logged_answers
from policy_update.gating.samples import Verdict
from policy_update.gating.service import REACTION, gate_folder
from policy_update.objectives import available_objectives, predicted_rates
from policy_update.plan import TrainingPlan
from policy_update.scoring import RewardSource, rollout_sampler
from policy_update.trainer import StepRecord, Trainer, TrainingRun
from reward_model.offline_online_service import record_predictions
from reward_model.scoring import RewardModel

log = structlog.get_logger(__name__)

TRAINING_SHARE = 0.8
"""Share of the job's progress bar that training takes; the examination has the rest."""


def train_adapter(job: JobContext, plan: TrainingPlan) -> JobOutcome:
    """Train, save and gate one adapter. The verdict stands in the adapter's row and in the run."""
    settings = job.settings
    job.progress(0.0, "loading models")
    base = load_base(settings)
    models = prepare_models(base, plan, settings)
    teacher, examiner = teacher_and_examiner(RewardModel.load(plan.reward_model_path), plan.version, settings)
    weights = available_objectives(teacher, settings.policy_update.objectives)
    source, examining = (
        RewardSource(base, one, weights, settings.policy_update.temperature) for one in (teacher, examiner)
    )
    trainer = Trainer(
        models,
        settings.policy_update,
        recipe_named(settings.policy_update.recipe, settings.policy_update.recipe_options),
        weights,
        rollout_sampler(base, settings.policy_update, settings.policy_update.group_size),
        source.training_rewards,
    )
    registry = Registry.open(settings, job.clock)
    with registry.run(
        "policy-update", plan.ref, _parameters(settings, weights), {"reward_model": plan.reward_model}
    ) as run:
        outcome = trainer.train(plan.prompts.training, _reporter(job, run, settings), job.should_stop)
        if job.should_stop():
            raise TryLater(f"{plan.ref} was asked to stop after {len(outcome.history)} steps: the next run begins anew")
        adapter = _save(job, plan, models, run.run_id, outcome)
        run.log_artifact_dir(adapter.path)
        examined = _examine(job, plan, models, examining, weights)
        verdict = examined.verdict
        state = _record(job, plan, examined, outcome, weights, teacher, examiner)
        run.log_artifact_dir(gate_folder(settings, plan.ref), "gate")
        run.set_tags({"state": state, "reasons": "; ".join(verdict.reasons)})
    log.info("adapter_gated", adapter=plan.ref, state=state, reasons=verdict.reasons, stopped=outcome.stopped)
    return JobOutcome.done(f"{plan.ref} {state}" + (f": {'; '.join(verdict.reasons)}" if verdict.reasons else ""))


def _record(
    job: JobContext,
    plan: TrainingPlan,
    examined: Examined,
    outcome: TrainingRun,
    weights: dict[str, float],
    teacher: RewardModel,
    examiner: RewardModel,
) -> str:
    """Write down the verdict and what was predicted, in one transaction; the adapter's new state."""
    verdict = examined.verdict
    state = "challenger" if verdict.passed else "refused"
    document = gate_document(verdict, outcome, weights) | {"cross_fitted": examiner is not teacher}
    write_artifacts(gate_folder(job.settings, plan.ref), document)
    with job.database.transaction() as connection:
        job.confirm_lease(connection)
        repository.record_gate(connection, job.settings.project, plan.name, plan.version, state, document)
        _predict(connection, job, plan, examined, examiner.objectives)
    return state


def teacher_and_examiner(
    reward_model: RewardModel, version: int, settings: Settings
) -> tuple[RewardModel, RewardModel]:
    """The reward model a policy is trained against, and the one that gates it: models of disjoint halves of the people
    where both are held (turn and turn about by version), so that what a policy learns to exploit in the one's opinions
    does not pass the other's; else the full model twice."""
    if not settings.policy_update.cross_fit or not reward_model.has_halves:
        return reward_model, reward_model
    return reward_model.half(version % 2), reward_model.half(1 - version % 2)


def prepare_models(base: Any, plan: TrainingPlan, settings: Settings) -> Models:
    """Base, policy (a fresh LoRA, or the champion's to go on from), merged sampler, merged reference."""
    return assemble_models(base, settings.policy_update, plan.champion_path, settings.policy_update.seed + plan.version)


def gate_document(verdict: Verdict, outcome: TrainingRun, weights: dict[str, float]) -> dict[str, Any]:
    """What the adapter's row keeps for ever: verdict, reasons, every check, the training curve."""
    return {
        **verdict.document(),
        "weights": weights,
        "stopped": outcome.stopped,
        "distance": outcome.distance,
        "history": [asdict(record) for record in outcome.history],
    }


def _save(job: JobContext, plan: TrainingPlan, models: Models, run_id: str, outcome: TrainingRun) -> AdapterVersion:
    settings = job.settings
    folder = adapter_folder(settings, plan)
    # The store has no such version, and this run holds the lease: what stands there is a killed training's leftover.
    shutil.rmtree(folder, ignore_errors=True)
    hashes = save_adapter(models.policy, models.base, folder)
    adapter = AdapterVersion(
        project=settings.project,
        name=plan.name,
        version=plan.version,
        path=str(folder.resolve()),
        base_model_hash=models.base.base_model_hash,
        file_hashes=hashes,
        fingerprint=measure(models.base, models.sampler),
        state="candidate",
        parent=plan.champion,
        created_at=job.clock.now(),
        run_id=run_id,
        lineage={"reward_model": plan.reward_model, "recipe": settings.policy_update.recipe, "job_run": job.run_id},
        gate={"history": [asdict(record) for record in outcome.history]},
    )
    with job.database.transaction() as connection:
        job.confirm_lease(connection)
        repository.add_adapter(connection, adapter)
    return adapter


def _examine(
    job: JobContext, plan: TrainingPlan, models: Models, source: RewardSource, weights: dict[str, float]
) -> Examined:
    wanted = job.settings.policy_update

    def sample(model: Any, conversations: Sequence[Any], each: int, seed: int) -> Any:
        return rollout_sampler(models.base, wanted, each)(model, conversations, seed)

    def report(fraction: float) -> None:
        job.progress(TRAINING_SHARE + (1 - TRAINING_SHARE) * fraction, "the gate: held-out prompts")

    with job.database.reading() as connection:
        logged = logged_answers(connection, job.settings.project, REACTION, wanted.gate.logged_answers)
    return examine(
        models, wanted, weights, plan.prompts.held_out, sample, source.guarded_rewards, report, logged=logged
    )


def _predict(
    connection: Connection, job: JobContext, plan: TrainingPlan, examined: Examined, objectives: Sequence[str]
) -> None:
    """Keep the rates predicted of candidate and champion, before anybody sees the candidate: held later against what
    people did, they say how far predictions may be trusted."""
    prompts = list(plan.prompts.held_out)[: job.settings.policy_update.gate.prompts]
    record_predictions(
        connection,
        job.settings.project,
        candidate=plan.ref,
        control=plan.champion,
        reward_model=plan.reward_model,
        prompts=prompts,
        candidate_scores=predicted_rates(examined.candidate.rewards, objectives),
        control_scores=predicted_rates(examined.champion.rewards, objectives),
        candidate_prompt=examined.candidate.prompt,
        control_prompt=examined.champion.prompt,
        now=job.clock.now(),
    )


def _reporter(job: JobContext, run: Any, settings: Settings) -> Callable[[StepRecord], None]:
    def report(record: StepRecord) -> None:
        done = (record.step + 1) / settings.policy_update.steps
        job.progress(
            TRAINING_SHARE * done, f"step {record.step + 1} of {settings.policy_update.steps}, KL {record.kl:.3f}"
        )
        run.log_metrics({"kl": record.kl, "beta": record.beta, **record.rewards}, step=record.step)
        log.info(
            "policy_step", **{k: v for k, v in asdict(record).items() if not isinstance(v, dict)}, **record.rewards
        )

    return report


def _parameters(settings: Settings, weights: dict[str, float]) -> dict[str, object]:
    return {**settings.policy_update.model_dump(exclude={"objectives", "gate"}), "objectives": weights}


def adapter_folder(settings: Settings, plan: TrainingPlan) -> Path:
    """Where the adapter of a plan is kept."""
    return settings.data_dir / "adapters" / plan.name / str(plan.version)
