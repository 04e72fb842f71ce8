"""Every candidate of a cycle before the gate, against the same answers of the same champion, drawn and scored once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from infra.models.merging import merged_copy
from infra.settings.policy_update import PolicyUpdateSettings
from infra.statistics import clustered_difference
from policy_update.faces import Models
from policy_update.gating.deciding import spread
from policy_update.gating.examination import Examined, examine
from policy_update.gating.logged import LoggedAnswer
from policy_update.gating.samples import Sampled
from policy_update.gating.service import with_budget_of
from policy_update.objectives import Rewards
from policy_update.plan import TrainingPlan
from policy_update.prompts import Conversation
from policy_update.rollout import Rollout

Sample = Callable[[Any, Sequence[Conversation], int, int], Rollout]
Score = Callable[[Rollout], Rewards]


def champion_model(base: Any, plan: TrainingPlan) -> Any:
    """What everybody is served now: the base itself, or a merged copy of the champion."""
    return base.model if plan.champion_path is None else merged_copy(base, plan.champion_path)


@dataclass
class Examination:
    """The gate's side of a cycle. `champion`: the model candidates are held against; `sample` and `score` as `examine`
    takes them; `logged` are answers people reacted to, for advice. What the champion answered is kept, so a further
    candidate costs its own answers only."""

    settings: PolicyUpdateSettings
    champion: Any
    held_out: Sequence[Conversation]
    sample: Sample
    reset: bool = False
    logged: Sequence[LoggedAnswer] = ()
    _drawn: dict[tuple[int, int, int], Rollout] = field(default_factory=dict)
    _scored: dict[tuple[int, str], Rewards] = field(default_factory=dict)

    def of(
        self,
        models: Models,
        weights: dict[str, float],
        score: Score,
        on_progress: Callable[[float], None] = lambda fraction: None,
    ) -> Examined:
        """Examine `models.sampler` against the champion, judged by `weights`.

        `score` must say the same for the same answer and weights: the champion's scores are kept by the names scored.
        """
        against = replace(models, reference=self.champion)
        key = ",".join(weights)
        return examine(
            against,
            with_budget_of(self.settings, reset=self.reset),
            weights,
            self.held_out,
            self._sample,
            lambda rollout: self._score(rollout, score, key),
            on_progress,
            logged=self.logged,
        )

    def _sample(self, model: Any, conversations: Sequence[Conversation], each: int, seed: int) -> Rollout:
        if model is not self.champion:
            return self.sample(model, conversations, each, seed)
        key = (hash(tuple(conversations)), each, seed)
        if key not in self._drawn:
            self._drawn[key] = self.sample(model, conversations, each, seed)
        return self._drawn[key]

    def _score(self, rollout: Rollout, score: Score, names: str) -> Rewards:
        if not any(rollout is drawn for drawn in self._drawn.values()):
            return score(rollout)
        key = (id(rollout), names)
        if key not in self._scored:
            self._scored[key] = score(rollout)
        return self._scored[key]


def common_gain(
    candidate: Sampled, champion: Sampled, weights: Mapping[str, float], confidence: float
) -> tuple[float, float, float]:
    """(gain, low, high) in one yardstick for all candidates of a cycle: sum_k w_k (r_k - champion's r_k) / spread_k,
    `weights` the deployment's objectives, spreads the champion's; clustered by prompt.

    A pair of answers of which one has no reward of some objective counts 0 for that objective. NaN without answers.
    """
    total = np.zeros(len(candidate.prompt))
    for name, weight in weights.items():
        if name in candidate.rewards and name in champion.rewards:
            ours, theirs = candidate.rewards[name], champion.rewards[name]
            change = (ours - theirs) / spread(theirs, ours)
            total += weight * np.where(np.isfinite(change), change, 0.0)
    found = clustered_difference(total, np.zeros_like(total), candidate.prompt, confidence=confidence)
    return found.mean, found.low, found.high
