"""One cycle from plan to verdicts: train, combine, save with a fingerprint, examine, write down."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import structlog
import torch

from infra.contracts.adapters import parse_ref
from infra.models.fingerprint import measure
from infra.models.loading import load_base
from infra.models.lora import attach_lora, load_trainable, save_adapter
from infra.models.merging import merged_copy
from infra.registry import Registry
from infra.runtime import JobContext, JobOutcome, TryLater
from infra.settings import Settings
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
from policy_update.merging import copy_of, merge_into
from policy_update.objectives import Rewards, available_objectives
from policy_update.plan import TrainingPlan
from policy_update.recipes import recipe_named
from policy_update.rollout import Rollout
from policy_update.scoring import rollout_sampler
from policy_update.trainer import Models, StepRecord, Trainer
from reward_model.scoring import RewardModel

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
    teacher, examiner = teacher_and_examiner(RewardModel.load(plan.reward_model_path), plan.turn, settings)

    def sample(model: Any, conversations: Sequence[Any], each: int, seed: int) -> Any:
        return rollout_sampler(base, wanted, each)(model, conversations, seed)

    examination = Examination(wanted, champion_model(base, plan), plan.prompts.held_out, sample, reset=bool(plan.reset))
    return Cycle(job, plan, base, teacher, examiner, examination, Registry.open(settings, job.clock))


def _train(cycle: Cycle, name: str, wanted_weights: Mapping[str, float]) -> Candidate:
    """One training at one weighting, saved, fingerprinted and examined."""
    job, plan, settings, version = cycle.job, cycle.plan, cycle.settings, cycle.version
    ref = f"{plan.name}@{version}"
    weights = available_objectives(cycle.teacher, wanted_weights, settings.policy_update.rewards.terms)
    models = prepare_models(cycle.base, plan, settings)
    if plan.start == plan.champion:
        models.reference = cycle.examination.champion
    source = cycle.source(cycle.teacher, weights)
    tags = {"reward_model": plan.reward_model, "weighting": name, "trigger": plan.trigger}
    with cycle.registry.run("policy-update", ref, _parameters(settings, weights), tags) as run:
        trainer = Trainer(
            models,
            settings.policy_update,
            recipe_named(settings.policy_update.recipe),
            weights,
            rollout_sampler(cycle.base, settings.policy_update, settings.policy_update.group_size),
            _noting(source.training_rewards, run),
        )
        outcome = trainer.train(plan.prompts.training, _reporter(cycle, run), job.should_stop)
        if job.should_stop():
            raise TryLater(f"{ref} was asked to stop after {len(outcome.history)} steps: the next run begins anew")
        folder = fresh_folder(settings, plan.name, version)
        hashes = save_adapter(models.policy, models.base, folder)
        store_candidate(
            job,
            plan,
            version,
            hashes,
            measure(models.base, models.sampler),
            lineage_of(settings, plan, job.run_id, kind="trained", weighting=name),
            models.base.base_model_hash,
            run.run_id,
            {"history": [asdict(record) for record in outcome.history]},
        )
        run.log_artifact_dir(folder)
        candidate = examine_candidate(cycle, models, version, name, weights, outcome)
        run.set_tags({"passed": candidate.document["passed"], "reasons": "; ".join(candidate.document["reasons"])})
    return candidate


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
        fingerprint = measure(cycle.base, merged)
        store_candidate(
            job, plan, version, hashes, fingerprint, lineage, cycle.base.base_model_hash, run.run_id, {"history": []}
        )
        run.log_artifact_dir(folder)
        models = Models(base=cycle.base, policy=None, sampler=merged, reference=cycle.examination.champion)
        candidate = examine_candidate(cycle, models, version, combination.label, weights, None)
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


def teacher_and_examiner(reward_model: RewardModel, turn: int, settings: Settings) -> tuple[RewardModel, RewardModel]:
    """The reward model a policy is trained against, and the one that gates it: models of disjoint halves of the people
    where both are held (turn and turn about by cycle), so that what a policy learns to exploit in the one's opinions
    does not pass the other's; else the full model twice."""
    if not settings.policy_update.cross_fit or not reward_model.has_halves:
        return reward_model, reward_model
    return reward_model.half(turn % 2), reward_model.half(1 - turn % 2)


def prepare_models(base: Any, plan: TrainingPlan, settings: Settings) -> Models:
    """Base, policy (LoRA on a copy, with the weights of the plan's start), merged sampler, merged reference."""
    wanted = settings.policy_update
    own = replace(base, model=copy_of(base.model))
    if plan.start_path is None:
        seed = wanted.seed + plan.version
        targets = linear_layers(own.model, wanted.lora_first_layer)
        policy = attach_lora(own, rank=wanted.lora_rank, alpha=wanted.lora_alpha, targets=targets, seed=seed)
    else:
        policy = load_trainable(own, plan.start_path)
    in_model_precision(policy, base.dtype)
    sampler = copy_of(base.model)
    if plan.start_path is None:
        reference = base.model
    else:
        reference = copy_of(base.model)
        merge_into(reference, base.model, policy)
    return Models(base=base, policy=policy, sampler=sampler, reference=reference)


def linear_layers(model: Any, first: int) -> str | list[str]:
    """peft's name for all linear layers, or the names of those in decoder layers from `first` on. Raises ValueError."""
    if first == 0:
        return "all-linear"
    layers = model.get_decoder().layers
    if first >= len(layers):
        raise ValueError(
            f"policy_update.lora_first_layer = {first}, but the base has {len(layers)} layers: 0 to {len(layers) - 1}"
        )
    within = {
        id(module) for layer in layers[first:] for module in layer.modules() if isinstance(module, torch.nn.Linear)
    }
    return [name for name, module in model.named_modules() if id(module) in within]


def in_model_precision(policy: Any, dtype: torch.dtype) -> None:
    """LoRA weights in the base's own precision: fp32 ones under a bf16 base would cast every activation twice. The
    optimiser keeps fp32 masters, so no step is lost to rounding."""
    for parameter in policy.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


def _reporter(cycle: Cycle, run: Any) -> Callable[[StepRecord], None]:
    steps = cycle.settings.policy_update.steps

    def report(record: StepRecord) -> None:
        cycle.progress(
            TRAINING_SHARE * (record.step + 1) / steps, f"step {record.step + 1} of {steps}, KL {record.kl:.3f}"
        )
        run.log_metrics({"kl": record.kl, "beta": record.beta, **record.rewards}, step=record.step)
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
