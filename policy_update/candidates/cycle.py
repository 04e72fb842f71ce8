"""One cycle under way: its models, its candidates, and how they are examined and written down together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from infra.models.loading import LoadedModel
from infra.registry import Registry
from infra.runtime import JobContext
from infra.settings import Settings
from policy_update import repository
from policy_update.candidates.examining import Examination
from policy_update.candidates.queue import Gated, states
from policy_update.candidates.recording import gate_document
from policy_update.faces import Models
from policy_update.gating.examination import Examined
from policy_update.gating.report import write_artifacts
from policy_update.gating.service import gate_folder
from policy_update.objectives import predicted_rates
from policy_update.plan import TrainingPlan
from policy_update.records import TrainingRun
from policy_update.scoring import RewardSource
from reward_model.offline_online_service import record_predictions
from reward_model.scoring import AnyRewardModel

TRAINING_SHARE = 0.8
"""Share of a candidate's progress that training takes; the examination has the rest."""


@dataclass(frozen=True)
class Candidate:
    """A candidate that stands in the store, its examination, and the document of its verdict."""

    version: int
    label: str
    weights: dict[str, float]
    examined: Examined
    document: dict[str, Any]


@dataclass
class Cycle:
    """One cycle of the job: the plan, the models it works with, and what has come of it so far."""

    job: JobContext
    plan: TrainingPlan
    base: LoadedModel
    teacher: AnyRewardModel
    examiner: AnyRewardModel
    examination: Examination
    registry: Registry
    candidates: list[Candidate] = field(default_factory=list)
    parts: int = 1

    @property
    def settings(self) -> Settings:
        return self.job.settings

    @property
    def version(self) -> int:
        """The next candidate's."""
        return self.plan.version + len(self.candidates)

    def source(self, reward_model: AnyRewardModel, weights: Mapping[str, float]) -> RewardSource:
        """Scores by one of the two reward models."""
        wanted = self.settings.policy_update
        return RewardSource(
            self.base, reward_model, weights, wanted.temperature, wanted.rewards, self.plan.prompts.references
        )

    def progress(self, fraction: float, text: str) -> None:
        """Progress of the candidate at hand, as a share of the whole cycle."""
        self.job.progress((len(self.candidates) + fraction) / self.parts, text)


def examine_candidate(
    cycle: Cycle, models: Models, version: int, label: str, weights: dict[str, float], outcome: TrainingRun | None
) -> Candidate:
    """Put `models.sampler` before the gate; `outcome` is its training, None for a combination."""

    def report(fraction: float) -> None:
        if outcome is not None:
            cycle.progress(TRAINING_SHARE + (1 - TRAINING_SHARE) * fraction, "the gate: held-out prompts")

    score = cycle.source(cycle.examiner, weights).guarded_rewards
    examined = cycle.examination.of(models, weights, score, report)
    document = gate_document(
        cycle.settings,
        examined,
        weights,
        cycle.settings.policy_update.objectives,
        cycle.examiner.objectives,
        label,
        outcome,
    )
    document["cross_fitted"] = cycle.examiner is not cycle.teacher
    write_artifacts(gate_folder(cycle.settings, f"{cycle.plan.name}@{version}"), document)
    return Candidate(version, label, weights, examined, document)


def record_cycle(cycle: Cycle) -> dict[str, str]:
    """Write down all verdicts and what was predicted, in one transaction: a cycle counts whole or not at all. State of
    each candidate by `name@version`."""
    job, plan = cycle.job, cycle.plan
    gated = [
        Gated(f"{plan.name}@{one.version}", bool(one.document["passed"]), float(one.document["gain"]))
        for one in cycle.candidates
    ]
    found = states(gated, job.settings.policy_update.candidates.most_challengers)
    with job.database.transaction() as connection:
        job.confirm_lease(connection)
        for one in cycle.candidates:
            state = found[f"{plan.name}@{one.version}"]
            repository.record_gate(connection, job.settings.project, plan.name, one.version, state, one.document)
            _predict(connection, job, plan, one, cycle.examiner)
    return found


def _predict(
    connection: Connection, job: JobContext, plan: TrainingPlan, candidate: Candidate, examiner: AnyRewardModel
) -> None:
    """Keep the rates predicted of candidate and champion, before anybody sees the candidate: held later against what
    people did, they say how far predictions may be trusted."""
    prompts = list(plan.prompts.held_out)[: job.settings.policy_update.gate.prompts]
    examined, objectives = candidate.examined, examiner.objectives
    record_predictions(
        connection,
        job.settings.project,
        candidate=f"{plan.name}@{candidate.version}",
        control=plan.champion,
        reward_model=plan.reward_model,
        prompts=prompts,
        candidate_scores=predicted_rates(examined.candidate.rewards, objectives),
        control_scores=predicted_rates(examined.champion.rewards, objectives),
        candidate_prompt=examined.candidate.prompt,
        control_prompt=examined.champion.prompt,
        now=job.clock.now(),
        contrasts={name: examiner.contrast(name) for name in objectives},
    )
