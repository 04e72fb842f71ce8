"""A step's record: what the rollout shows, then what the first pass of its update finds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from policy_update.algebra.experience import Targets
from policy_update.gathering import Gathered
from policy_update.guards import demand_finite
from policy_update.records import StepRecord
from policy_update.updating import Sums

log = structlog.get_logger(__name__)


def first_record(
    step: int, gathered: Gathered, targets: Targets, beta: float, multipliers: Mapping[str, float], merging: float
) -> StepRecord:
    """What is known of a step before its update. `merging`: seconds that belong to drawing. Raises TrainingDiverged."""
    experience = gathered.experience
    rewards = experience.rewards
    demand_finite(step, reward=float(rewards.nanmean()))
    silent = [name for name, said in zip(experience.names, ~rewards.isnan().all((0, 1)), strict=True) if not said]
    if silent:
        log.warning("objectives_silent", step=step, names=silent)
    figures = {kind: _figures(experience.names, targets, kind) for kind in ("spread", "share", "covariance")}
    return StepRecord(
        step=step,
        rewards=dict(zip(experience.names, map(float, rewards.nanmean((0, 1))), strict=True)),
        spreads=figures["spread"],
        shares=figures["share"],
        covariances=figures["covariance"],
        kl=0.0,
        beta=beta,
        gradient_norm=float("nan"),
        taken_back=False,
        clip_fraction=0.0,
        mean_length=float(experience.mask.sum(1).float().mean()),
        sampler_mismatch=0.0,
        sampling_seconds=merging + gathered.sampling_seconds,
        scoring_seconds=gathered.scoring_seconds,
        update_seconds=0.0,
        truncated_share=float(experience.truncated.float().mean()),
        tokens=int(experience.mask.sum()),
        redrawn=gathered.redrawn,
        multipliers=dict(multipliers),
    )


def measured(record: StepRecord, sums: Sums, tokens: float) -> StepRecord:
    """The record with what the first pass of the update found. Raises TrainingDiverged."""
    drawn = max(1.0, float(sums.tokens))
    demand_finite(record.step, loss=float(sums.loss), kl=float(sums.kl))
    return replace(
        record,
        kl=float(sums.kl) / drawn,
        kl_base=float(sums.kl_base) / drawn,
        entropy=float(sums.surprise) / drawn,
        sampler_mismatch=float(sums.mismatch) / drawn,
        clip_fraction=float(sums.clipped) / max(1.0, tokens),
        loss=float(sums.loss),
        skipped_groups=int(sums.idle),
    )


def _figures(names: Sequence[str], targets: Targets, kind: str) -> dict[str, float]:
    return {name: float(targets.diagnostics[f"{kind}/{name}"]) for name in names}
