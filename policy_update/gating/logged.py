"""Logged answers under the candidate: their probabilities and, where these can be evidence, the reward model's view."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from infra.contracts import Interaction
from infra.models.loading import LoadedModel
from infra.settings.policy_update import PolicyUpdateSettings
from infra.statistics import effective_sample_size
from policy_update.gating.off_policy import advice, weights_of
from policy_update.gating.samples import Check, FloatArray
from policy_update.logged import Identity, unusable
from policy_update.objectives import Rewards, predicted_rates
from policy_update.prompts import Conversation
from policy_update.rollout import Rollout, build_rollout, sampled_logprobs

AT_ONCE = 16


@dataclass(frozen=True)
class LoggedAnswer:
    """An answer that was served and judged: `value` in [0, 1] of `objective`, by `person` (a key; "" for unknown)."""

    interaction: Interaction
    choice: int
    objective: str
    value: float

    @property
    def person(self) -> str:
        return self.interaction.user_key or self.interaction.response_id


def estimate(
    base: LoadedModel,
    candidate: Any,
    logged: Sequence[LoggedAnswer],
    settings: PolicyUpdateSettings,
    sample: Callable[[Any, Sequence[Conversation], int, int], Rollout],
    reward: Callable[[Rollout], Rewards],
) -> tuple[Check, ...]:
    """Advice by objective, from the answers that have an exact ratio of probabilities (`policy_update.logged.unusable`
    says which have none). The candidate's own answers are drawn (for the doubly robust form) only where the weights
    leave enough effective answers to be evidence."""
    found = []
    identity = Identity.of(base)
    kept = [one for one in logged if not unusable(one.interaction, one.interaction.answers[one.choice], identity)]
    for objective in sorted({answer.objective for answer in kept}):
        own = [answer for answer in kept if answer.objective == objective]
        rollouts = [_rollout(base, own[i : i + AT_ONCE]) for i in range(0, len(own), AT_ONCE)]
        weights = weights_of(_log_ratios(candidate, own, rollouts), settings.gate.importance_clip)
        predicted = None
        if effective_sample_size(weights) >= settings.gate.fewest_effective:
            fresh = [sample(candidate, rollout.conversations, 1, settings.seed + 1) for rollout in rollouts]
            both = _predicted(reward, rollouts, objective), _predicted(reward, fresh, objective)
            predicted = None if both[0] is None or both[1] is None else (both[0], both[1])
        people = np.unique([answer.person for answer in own], return_inverse=True)[1]
        found.append(
            advice(
                objective,
                np.array([answer.value for answer in own]),
                weights,
                people,
                settings.gate.fewest_effective,
                settings.gate.confidence,
                settings.gate.importance_clip,
                predicted,
            )
        )
    return tuple(found)


def _rollout(base: LoadedModel, answers: Sequence[LoggedAnswer]) -> Rollout:
    """The logged tokens as a rollout of one answer a conversation."""
    given = [answer.interaction.answers[answer.choice] for answer in answers]
    return build_rollout(
        base,
        [answer.interaction.messages for answer in answers],
        [answer.interaction.prompt_token_ids for answer in answers],
        [(one.token_ids, one.logprobs_sampled) for one in given],
    )


@torch.no_grad()
def _log_ratios(candidate: Any, answers: Sequence[LoggedAnswer], rollouts: Sequence[Rollout]) -> FloatArray:
    """log pi_candidate - log pi_logged of each whole answer, both at the temperature it was drawn at, (n,)."""
    temperatures = iter([answer.interaction.sampling.temperature for answer in answers])
    ratios = []
    for rollout in rollouts:
        for row in range(len(rollout.ids)):
            new = sampled_logprobs(candidate, rollout, slice(row, row + 1), next(temperatures))
            drawn = rollout.sampler_logprobs[row] * rollout.mask[row]
            ratios.append(float((new[0] - drawn).sum()))
    return np.array(ratios)


def _predicted(reward: Callable[[Rollout], Rewards], rollouts: Sequence[Rollout], objective: str) -> FloatArray | None:
    """The reward model's probability of `objective` for each answer, or None where it has no such head."""
    scored = [reward(rollout) for rollout in rollouts]
    if objective not in scored[0].names:
        return None
    values = np.concatenate([rewards.column(objective) for rewards in scored])
    return predicted_rates({objective: values}, [objective])[objective]
