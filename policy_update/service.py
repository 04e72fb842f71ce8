"""One cycle from plan to verdicts: train, combine, save with a fingerprint, examine, write down."""

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from infra.contracts.adapters import parse_ref
from infra.models.loading import LoadedModel, load_base
from infra.models.lora import save_adapter
from infra.models.merging import merged_copy
from infra.models.voices import measure_adapter
from infra.registry import Registry
from infra.runtime import JobContext, JobOutcome, TryLater
from infra.settings import Settings
from policy_update.algebra.options import recipe_named
from policy_update.candidates.cycle import TRAINING_SHARE, Candidate, Cycle, examine_candidate, record_cycle
from policy_update.candidates.dial import Combination, Trained, free_candidates, weightings
from policy_update.candidates.examining import Examination, champion_model
from policy_update.candidates.folders import write_combination
from policy_update.candidates.recording import (
    adapter_folder,
    fresh_folder,
    lineage_of,
    store_candidate,
    told_parts,
)
from policy_update.checkpoint import Checkpoints
from policy_update.faces import Models, assemble_models
from policy_update.following import Announcement
from policy_update.gating.repository import logged_answers
from policy_update.gating.service import REACTION, gate_folder
from policy_update.logged import rows_by_conversation, with_logged
from policy_update.objectives import Rewards, available_objectives, with_limits
from policy_update.plan import TrainingPlan
from policy_update.processes import Processes
from policy_update.progress import step_bar
from policy_update.records import StepRecord, TrainingRun, logged_figures, plain
from policy_update.rollout import Rollout
from policy_update.scoring import RewardSource, rollout_sampler
from policy_update.trainer import Trainer
from reward_model.scoring import AnyRewardModel, open_reward_model

log = structlog.get_logger(__name__)


def train_adapter(job: JobContext, plan: TrainingPlan) -> JobOutcome:
    """Train one adapter a weighting, combine them, put each before the gate, and write all verdicts down at once.

    The verdicts stand in the adapters' rows and in the runs. A cycle that is stopped or killed leaves candidates
    without a verdict behind, and the next one begins anew.
    """
    cycle = _open_cycle(job, plan)
    wanted = job.settings.policy_update
    named = weightings(wanted.objectives, wanted.candidates.weightings)
    cycle.parts = len(named)
    trained = []
    for name, weights in named.items():
        version = cycle.version
        cycle.candidates.append(_train(cycle, name, weights))
        trained.append(Trained(f"{plan.name}@{version}", name, weights))
    free = free_candidates(
        trained,
        plan.start,
        wanted.objectives,
        soups=wanted.candidates.soups,
        extrapolations=wanted.candidates.extrapolations,
    )
    for combination in free:
        job.progress(0.99, f"the gate: {combination.label}")
        cycle.candidates.append(_combine(cycle, combination))
    states = record_cycle(cycle)
    for ref, state in states.items():
        log.info("adapter_gated", adapter=ref, state=state)
    return JobOutcome.done("; ".join(_told(plan, one, states) for one in cycle.candidates))


def _open_cycle(job: JobContext, plan: TrainingPlan) -> Cycle:
    settings = job.settings
    wanted = settings.policy_update
    job.progress(0.0, "loading models")
    base = load_base(settings)
    teacher, examiner = teacher_and_examiner(open_reward_model(plan.reward_model_path, base), plan.turn, settings)

    def sample(model: Any, conversations: Sequence[Any], each: int, seed: int) -> Any:
        return rollout_sampler(base, wanted, each)(model, conversations, seed)

    with job.database.reading() as connection:
        logged = logged_answers(connection, settings.project, REACTION, wanted.gate.logged_answers)
    examination = Examination(
        wanted, champion_model(base, plan), plan.prompts.held_out, sample, reset=bool(plan.reset), logged=logged
    )
    return Cycle(job, plan, base, teacher, examiner, examination, Registry.open(settings, job.clock))


def _train(cycle: Cycle, name: str, wanted_weights: Mapping[str, float]) -> Candidate:
    """One training at one weighting, saved, fingerprinted and examined."""
    job, plan, settings, version = cycle.job, cycle.plan, cycle.settings, cycle.version
    ref = f"{plan.name}@{version}"
    weights = available_objectives(cycle.teacher, wanted_weights, settings.policy_update.rewards.terms)
    models = prepare_models(cycle.base, plan, settings)
    if plan.start == plan.champion:
        models.reference = cycle.examination.champion
    goals_and_limits = with_limits(
        weights, settings.policy_update.limits, cycle.teacher, settings.policy_update.rewards.terms
    )
    source = cycle.source(cycle.teacher, goals_and_limits)
    tags = {"reward_model": plan.reward_model, "weighting": name, "trigger": plan.trigger}
    with cycle.registry.run("policy-update", ref, _parameters(settings, weights), tags) as run:
        processes = Processes.join()
        processes.tell(Announcement(plan, goals_and_limits))
        checkpoints = _checkpoints(cycle, version, goals_and_limits)
        reward = _noting(source.training_rewards, run)
        trainer = _trainer(settings, cycle.base, plan, models, goals_and_limits, reward, processes)
        trainer.checkpoints = checkpoints
        with step_bar(ref, settings.policy_update.steps) as show:
            outcome = trainer.train(plan.prompts.training, _reporter(cycle, run, show), job.should_stop)
        if job.should_stop():
            raise TryLater(
                f"{ref} was asked to stop after {len(outcome.history)} steps: the next run goes on from there if it is "
                "the cycle's first training, and else begins the cycle anew"
            )
        _save(cycle, models, version, name, outcome, run)
        checkpoints.clear()
        candidate = examine_candidate(cycle, models, version, name, weights, outcome)
        run.log_artifact_dir(gate_folder(settings, f"{plan.name}@{version}"), "gate")
        run.set_tags({"passed": candidate.document["passed"], "reasons": "; ".join(candidate.document["reasons"])})
    return candidate


def _save(cycle: Cycle, models: Models, version: int, weighting: str, outcome: TrainingRun, run: Any) -> None:
    """The trained adapter's files, fingerprint and row."""
    folder = fresh_folder(cycle.settings, cycle.plan.name, version)
    hashes = save_adapter(models.policy, models.base, folder)
    store_candidate(
        cycle.job,
        cycle.plan,
        version,
        hashes,
        measure_adapter(models.base, folder),
        lineage_of(cycle.settings, cycle.plan, cycle.job.run_id, kind="trained", weighting=weighting),
        models.base.base_model_hash,
        run.run_id,
        {"history": [plain(asdict(record)) for record in outcome.history]},
    )
    run.log_artifact_dir(folder)


def _combine(cycle: Cycle, combination: Combination) -> Candidate:
    """One combination of trained adapters, saved, fingerprinted and examined."""
    job, plan, settings, version = cycle.job, cycle.plan, cycle.settings, cycle.version
    folder = fresh_folder(settings, plan.name, version)
    parts = [(share, _folder_of(cycle, ref)) for ref, share in combination.parts.items()]
    hashes, lost = write_combination(cycle.base, parts, folder, settings.policy_update.candidates.largest_rank)
    merged = merged_copy(cycle.base, folder)
    own = {"kind": combination.kind, "weighting": combination.label, "parts": told_parts(combination.parts)}
    lineage = lineage_of(settings, plan, job.run_id, **own, rank_loss=f"{lost:.3g}" if lost else "")
    weights = available_objectives(cycle.teacher, combination.weights, settings.policy_update.rewards.terms)
    with cycle.registry.run("policy-update", f"{plan.name}@{version}", {"objectives": weights}, lineage) as run:
        fingerprint = measure_adapter(cycle.base, folder)
        store_candidate(
            job, plan, version, hashes, fingerprint, lineage, cycle.base.base_model_hash, run.run_id, {"history": []}
        )
        run.log_artifact_dir(folder)
        models = Models(base=cycle.base, policy=None, sampler=merged, reference=cycle.examination.champion)
        candidate = examine_candidate(cycle, models, version, combination.label, weights, None)
        run.log_artifact_dir(gate_folder(settings, f"{plan.name}@{version}"), "gate")
        run.set_tags({"passed": candidate.document["passed"], "reasons": "; ".join(candidate.document["reasons"])})
    return candidate


def _folder_of(cycle: Cycle, ref: str) -> Path:
    """The folder of an adapter of this cycle, or of the champion it began from."""
    if ref == cycle.plan.champion and cycle.plan.champion_path is not None:
        return cycle.plan.champion_path
    return adapter_folder(cycle.settings, *parse_ref(ref))


def _told(plan: TrainingPlan, candidate: Candidate, states: Mapping[str, str]) -> str:
    ref, reasons = f"{plan.name}@{candidate.version}", candidate.document["reasons"]
    return f"{ref} {states[ref]}" + (f": {'; '.join(reasons)}" if reasons else "")


def teacher_and_examiner(
    reward_model: AnyRewardModel, turn: int, settings: Settings
) -> tuple[AnyRewardModel, AnyRewardModel]:
    """The reward model a policy is trained against, and the one that gates it: models of disjoint halves of the people
    where both are held (turn and turn about by cycle), so that what a policy learns to exploit in the one's opinions
    does not pass the other's; else the full model twice."""
    if not settings.policy_update.cross_fit or not reward_model.has_halves:
        return reward_model, reward_model
    return reward_model.half(turn % 2), reward_model.half(1 - turn % 2)


def prepare_models(base: Any, plan: TrainingPlan, settings: Settings) -> Models:
    """Base, policy (a fresh LoRA, or the weights of the plan's start), merged sampler, merged reference."""
    wanted = settings.policy_update
    return assemble_models(base, wanted, plan.start_path, wanted.seed + plan.version)


def base_of(settings: Settings) -> LoadedModel:
    """The base model, as every process of a training loads it."""
    return load_base(settings)


def trainer_of(settings: Settings, base: LoadedModel, told: Announcement, processes: Processes) -> Trainer:
    """The trainer of an announced training, for a process that trains along with rank 0."""
    plan, wanted = told.plan, settings.policy_update
    teacher, _ = teacher_and_examiner(open_reward_model(plan.reward_model_path, base), plan.turn, settings)
    models = prepare_models(base, plan, settings)
    if plan.start == plan.champion:
        models.reference = champion_model(base, plan)
    references = plan.prompts.references
    source = RewardSource(base, teacher, told.weights, wanted.temperature, wanted.rewards, references)
    return _trainer(settings, base, plan, models, told.weights, source.training_rewards, processes)


def _trainer(
    settings: Settings,
    base: LoadedModel,
    plan: TrainingPlan,
    models: Models,
    weights: dict[str, float],
    reward: Callable[[Rollout], Rewards],
    processes: Processes,
) -> Trainer:
    wanted = settings.policy_update
    recipe = recipe_named(wanted.recipe, wanted.recipe_options)
    sample = rollout_sampler(base, wanted, wanted.group_size)
    if plan.logged:
        rows, left_out = rows_by_conversation(base, plan.logged, wanted.max_new_tokens)
        log.info("logged_answers", rows=sum(map(len, rows.values())), left_out=left_out)
        sample = with_logged(sample, base, rows, wanted.logged_answers)
    return Trainer(models, wanted, recipe, weights, sample, reward, processes=processes)


def _checkpoints(cycle: Cycle, version: int, weights: dict[str, float]) -> Checkpoints:
    """Where this training's checkpoints lie, and what makes one of them its own."""
    settings, plan = cycle.settings, cycle.plan
    own = settings.policy_update.model_dump(mode="json", exclude={"gate", "candidates", "objectives"})
    told = [own, weights, plan.reward_model, plan.start, version, cycle.base.base_model_hash, str(cycle.base.dtype)]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    folder = settings.data_dir / "adapters" / plan.name / f".training-{version}"
    return Checkpoints(folder, digest, settings.policy_update.checkpoint_steps)


def _reporter(cycle: Cycle, run: Any, show: Callable[[StepRecord], None]) -> Callable[[StepRecord], None]:
    steps = cycle.settings.policy_update.steps

    def report(record: StepRecord) -> None:
        cycle.progress(
            TRAINING_SHARE * (record.step + 1) / steps, f"step {record.step + 1} of {steps}, KL {record.kl:.3f}"
        )
        show(record)
        run.log_metrics(logged_figures(record), step=record.step)
        log.info(
            "policy_step", **{k: v for k, v in asdict(record).items() if not isinstance(v, dict)}, **record.rewards
        )

    return report


def _noting(reward: Callable[[Rollout], Rewards], run: Any) -> Callable[[Rollout], Rewards]:
    """The same rewards; means of their features go to the run."""
    count = itertools.count()

    def score(rollout: Rollout) -> Rewards:
        rewards, step = reward(rollout), next(count)
        if rewards.features:
            run.log_metrics({name: float(values.mean()) for name, values in rewards.features.items()}, step=step)
        return rewards

    return score


def _parameters(settings: Settings, weights: dict[str, float]) -> dict[str, object]:
    left_out = {"objectives", "gate", "rewards", "candidates"}
    return {**settings.policy_update.model_dump(exclude=left_out), "objectives": weights}
