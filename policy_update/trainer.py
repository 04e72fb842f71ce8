"""The training loop: roll out groups, score them, one clipped policy-gradient step with KL to the champion, repeat.

Objective of a step, for answers i with tokens t sampled at temperature T from the current policy pi:

    L = aggregate_t [ w_t min-clip(rho_t, A_i) + beta k(pi_t, ref_t) ]        (minimised; see the recipe for each part)

pi and ref are the tempered distributions that answers are really drawn from. One update follows each rollout, so
rho = 1 in value and carries only the gradient; w_t = min(pi / sampler, 2) corrects for the merged copy that sampled.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from infra.contracts import PlauditError
from infra.models.loading import LoadedModel, decoder_and_head
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.algebra.experience import Experience, Targets, Totals
from policy_update.algebra.recipe import Recipe
from policy_update.algebra.regularizers import adapt_coefficient
from policy_update.merging import merge_into
from policy_update.objectives import Rewards
from policy_update.optimizer import MasterAdamW
from policy_update.prompts import Conversation
from policy_update.rollout import Rollout, sampled_logprobs

STEP_BACK = 0.6
"""What the learning rate is multiplied by after a step that broke the KL budget and was taken back."""
MOST_STEPS_BACK = 3
Reward = Callable[[Rollout], Rewards]


class NothingTrained(PlauditError):
    """The run would have produced an adapter equal to the one it started from."""

    code = "nothing_trained"


@dataclass(frozen=True)
class StepRecord:
    """One step: means over its answers; times in seconds; KL in nats a token."""

    step: int
    rewards: dict[str, float]
    spreads: dict[str, float]
    shares: dict[str, float]
    covariances: dict[str, float]
    kl: float
    beta: float
    gradient_norm: float
    taken_back: bool
    clip_fraction: float
    mean_length: float
    sampler_mismatch: float
    sampling_seconds: float
    scoring_seconds: float
    update_seconds: float


@dataclass
class Models:
    """The four faces of one base: `base` untouched, `policy` the peft model that learns, `sampler` its merged copy,
    `reference` the champion merged (the base itself before any promotion)."""

    base: LoadedModel
    policy: Any
    sampler: Any
    reference: Any


@dataclass
class TrainingRun:
    """What came out of a run."""

    history: list[StepRecord] = field(default_factory=list)
    stopped: str = "all steps done"
    distance: float = 0.0
    skipped_steps: int = 0


class Trainer:
    """One policy update. `reward` scores a rollout; `sample` draws one; both are given, so each can be tested alone."""

    def __init__(
        self,
        models: Models,
        settings: PolicyUpdateSettings,
        recipe: Recipe,
        weights: dict[str, float],
        sample: Callable[[Any, Sequence[Conversation], int], Rollout],
        reward: Reward,
    ) -> None:
        self.models, self.settings, self.recipe, self.weights = models, settings, recipe, weights
        self._sample, self._reward = sample, reward
        trainable = [p for p in models.policy.parameters() if p.requires_grad]
        if not trainable:
            raise NothingTrained(
                "no parameter of the policy is trainable: the adapter was attached frozen; attach it for training"
            )
        self.optimizer = MasterAdamW(trainable, settings.learning_rate)
        self._beta = settings.kl_coefficient
        self._rate = settings.learning_rate
        self._safe = self.optimizer.snapshot()
        """The newest weights whose KL was measured within the budget."""

    def train(
        self,
        conversations: Sequence[Conversation],
        on_step: Callable[[StepRecord], None] = lambda record: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> TrainingRun:
        """Run until the steps, the KL budget or `should_stop` end it. Raises NothingTrained.

        The KL of a rollout is that of the weights that drew it: when it is over the budget, the step that led there is
        taken back, and the learning rate falls.
        """
        run = TrainingRun()
        order = _endless(len(conversations), self.settings.seed)
        for step in range(self.settings.steps):
            if should_stop():
                run.stopped = "stopped from outside"
                break
            chosen = [
                conversations[next(order)] for _ in range(min(self.settings.prompts_per_step, len(conversations)))
            ]
            record = self._step(step, chosen)
            run.history.append(record)
            on_step(record)
            if sum(past.taken_back for past in run.history) >= MOST_STEPS_BACK:
                run.stopped = (
                    f"KL budget of {self.settings.kl_budget} nats a token spent: {MOST_STEPS_BACK} steps taken back"
                )
                break
        merge_into(self.models.sampler, self.models.base.model, self.models.policy)
        run.distance = float(self.optimizer.distance_trained())
        run.skipped_steps = self.optimizer.skipped
        if not run.distance > 0:
            raise NothingTrained(
                "no weight of the adapter moved: every advantage was zero or every gradient not finite"
            )
        return run

    def _step(self, step: int, chosen: Sequence[Conversation]) -> StepRecord:
        started = time.perf_counter()
        merge_into(self.models.sampler, self.models.base.model, self.models.policy)
        rollout = self._sample(self.models.sampler, chosen, self.settings.seed * 1_000_003 + step)
        sampled = time.perf_counter()
        rewards = self._reward(rollout)
        reference = self._reference(rollout, rewards)
        weights = torch.tensor([self.weights[name] for name in rewards.names], dtype=rewards.values.dtype)
        targets = self.recipe.prepare(self._experience(rollout, rewards, reference), weights)
        totals = Totals(
            float(targets.mask.sum()), float(targets.mask.any(1).sum()), max_tokens=self.settings.max_new_tokens
        )
        scored = time.perf_counter()
        kl, mismatch, clip = self._backward(rollout, targets, totals)
        norm, taken_back = self._move(step, kl)
        used_beta = self._beta
        self._beta = adapt_coefficient(self._beta, kl, self.settings.kl_target, self.settings.kl_coefficient)
        return StepRecord(
            step=step,
            rewards=_named(rewards, rewards.values.nanmean(0)),
            spreads=_figures(rewards, targets, "spread"),
            shares=_figures(rewards, targets, "share"),
            covariances=_figures(rewards, targets, "covariance"),
            kl=kl,
            beta=used_beta,
            gradient_norm=norm,
            taken_back=taken_back,
            clip_fraction=clip,
            mean_length=float(rollout.mask.sum(1).float().mean()),
            sampler_mismatch=mismatch,
            sampling_seconds=sampled - started,
            scoring_seconds=scored - sampled,
            update_seconds=time.perf_counter() - scored,
        )

    @torch.no_grad()
    def _reference(self, rollout: Rollout, rewards: Rewards) -> Tensor:
        """Log-probabilities (N, T) under the champion; the base's came with the rewards."""
        if self.models.reference is self.models.base.model and rewards.base_logprobs is not None:
            return rewards.base_logprobs
        return sampled_logprobs(self.models.reference, rollout, slice(None), self.settings.temperature)

    def _move(self, step: int, kl: float) -> tuple[float, bool]:
        """Step forward, or back when the KL of the weights at hand is over the budget. (gradient norm, taken back)."""
        if not kl <= self.settings.kl_budget:
            self.optimizer.restore(self._safe)
            self._rate *= STEP_BACK
            return float("nan"), True
        self._safe = self.optimizer.snapshot()
        return self.optimizer.step(self._rate * schedule(step, self.settings)), False

    def _experience(self, rollout: Rollout, rewards: Rewards, reference: Tensor) -> Experience:
        """What the recipe sees. The one update of a rollout takes the old log-probabilities from its own pass."""
        lengths = rollout.mask.sum(1)
        last = rollout.ids.gather(1, (lengths - 1)[:, None]).squeeze(1)
        ended = torch.isin(last, torch.tensor(self.models.base.end_ids, device=last.device))
        return Experience(
            names=rewards.names,
            rewards=rewards.values.view(len(rollout.conversations), -1, len(rewards.names)),
            noise=rewards.noise,
            mask=rollout.mask,
            old_logprobs=rollout.sampler_logprobs,
            sampler_logprobs=rollout.sampler_logprobs,
            truncated=(lengths >= self.settings.max_new_tokens) & ~ended,
            max_tokens=self.settings.max_new_tokens,
            reference_logprobs=reference,
        )

    def _backward(self, rollout: Rollout, targets: Targets, totals: Totals) -> tuple[float, float, float]:
        """Accumulate the step's gradient in micro-batches of whole prompts. Returns (KL, sampler mismatch, clipped)."""
        decoder, head = decoder_and_head(self.models.policy)
        kl = mismatch = clipped_share = 0.0
        for rows in rollout.micro_batches(self.settings.micro_batch_prompts):
            new = sampled_logprobs((decoder, head), rollout, rows, self.settings.temperature)
            old, sampler = new.detach(), rollout.sampler_logprobs[rows]
            parts = self.recipe.loss(
                new, self.recipe.with_old(targets.rows(rows), old, sampler), totals, beta=self._beta
            )
            parts.loss.backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                kl += float(parts.diagnostics["kl"]) / totals.tokens
                mismatch += float(((old - sampler).abs() * rollout.mask[rows]).sum()) / totals.tokens
                clipped_share += float(parts.diagnostics["clipped"]) / totals.tokens
        return kl, mismatch, clipped_share


def schedule(step: int, settings: PolicyUpdateSettings) -> float:
    """Share of the learning rate at `step` (from 0): linear warm-up, times a linear fall to `final_rate`. In (0, 1]."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    return warm * (1 - (1 - settings.final_rate) * step / max(1, settings.steps - 1))


def _named(rewards: Rewards, values: Tensor) -> dict[str, float]:
    return dict(zip(rewards.names, map(float, values), strict=True))


def _figures(rewards: Rewards, targets: Targets, kind: str) -> dict[str, float]:
    return {name: float(targets.diagnostics[f"{kind}/{name}"]) for name in rewards.names}


def _endless(count: int, seed: int) -> Any:
    """Indices of all prompts in random order, again and again: none is seen twice before all were seen once."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(count, generator=generator).tolist()
