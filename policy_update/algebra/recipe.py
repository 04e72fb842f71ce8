"""A recipe: one function of each stage and the numbers that differ from their defaults; `prepare` and `loss` run them.

rewards -> shaping -> scalarization(estimator) -> scaling -> credit -> whitening        (prepare, once a rollout)
mask -> filter; old and sampler log-probabilities -> importance weights
term(new, old, A) -> x importance -> aggregation -> + beta * regularizer                (loss, each micro-batch)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from policy_update.algebra import (
    aggregation,
    credit,
    diagnostics,
    estimators,
    filters,
    importance,
    policy_terms,
    regularizers,
    scalarization,
    whitening,
)
from policy_update.algebra.binding import Function, call, inputs_of
from policy_update.algebra.experience import Experience, LossParts, Targets, Totals
from policy_update.algebra.shaping import Shaped

NEEDED = frozenset({"reference", "entropies", "values", "greedy", "old"})
PREPARING = ("shaping", "scalarization", "estimator", "scaling", "credit", "whitening", "filter", "choice")


@dataclass(frozen=True)
class Recipe:
    """One named algorithm. `paper`: arXiv id; `differs`: what sets it apart, whom we follow where libraries disagree.

    `dynamic_sampling`: the trainer should leave out groups whose rewards are all alike and draw others in their place.
    """

    name: str
    paper: str
    differs: str
    shaping: tuple[Function, ...] = ()
    scalarization: Function = scalarization.sum_then_each
    estimator: Function = estimators.group_normalized
    scaling: Function = whitening.as_it_is
    credit: Function = credit.uniform
    whitening: Function = whitening.as_it_is
    filter: Function = filters.every_token
    importance: Function = importance.truncated_importance
    term: Function = policy_terms.clipped
    aggregation: Function = aggregation.token_mean
    regularizer: Function = regularizers.k3
    numbers: Mapping[str, float] = field(default_factory=dict)
    dynamic_sampling: bool = False

    @cached_property
    def needs(self) -> frozenset[str]:
        """What must be there beyond rewards, mask and the sampler's log-probabilities: of "reference", "entropies",
        "values", "greedy", "old" (`prepare` reads `old_logprobs` for more than the ratio: see `with_old`), and
        "updates" (the term has a ratio, so several optimiser steps a rollout make sense)."""
        before = self._inputs(self.shaping, self.scalarization, self.estimator, self.credit, self.filter)
        asked = before | self._inputs(self.regularizer)
        return (asked & NEEDED) | ({"updates"} if "old" in inputs_of(self.term) else frozenset())

    @staticmethod
    def _inputs(*functions: Any) -> frozenset[str]:
        flat = [one for item in functions for one in (item if isinstance(item, tuple) else (item,))]
        return frozenset(name for function in flat for name in inputs_of(function))

    def prepare(
        self, experience: Experience, weights: Tensor, multipliers: Mapping[str, float] | None = None
    ) -> Targets:
        """Advantages, masks and importance weights of a rollout. `weights` (K,) of the objectives; `multipliers` by
        objective, for those that are limits rather than goals. Pure."""
        inputs = _inputs_of_experience(experience, multipliers)
        shaped = Shaped(
            experience.names,
            experience.rewards,
            weights.to(experience.rewards),
            experience.noise.to(experience.rewards),
            experience.greedy_rewards,
        )
        for function in self.shaping:
            shaped = call(function, {**inputs, "shaped": shaped}, self.numbers)
        advantages, parts = call(
            self.scalarization, {**inputs, "shaped": shaped, "estimate": self._estimate}, self.numbers
        )
        scaled = call(self.scaling, {"advantages": advantages}, self.numbers)
        inputs["sequence"] = scaled.flatten().to(experience.old_logprobs)
        credited = call(self.credit, inputs, self.numbers)
        mask = call(self.filter, inputs, self.numbers)
        whitened = call(self.whitening, {**inputs, "advantages": credited.advantages}, self.numbers)
        return Targets(
            advantages=whitened,
            mask=mask,
            weights=call(self.importance, inputs, self.numbers),
            old_logprobs=experience.old_logprobs,
            reference_logprobs=experience.reference_logprobs,
            returns=credited.returns,
            old_values=experience.values,
            diagnostics=diagnostics.of_objectives(shaped, advantages, parts),
        )

    def with_old(self, targets: Targets, old_logprobs: Tensor, sampler_logprobs: Tensor) -> Targets:
        """The same targets for other `old_logprobs` (n, T) of the same rows: where the only update of a rollout takes
        them from its own forward pass. Exact where "old" is not among `needs`."""
        inputs = {"old": old_logprobs, "sampler": sampler_logprobs, "mask": targets.mask}
        return replace(targets, old_logprobs=old_logprobs, weights=call(self.importance, inputs, self.numbers))

    def loss(
        self,
        new_logprobs: Tensor,
        targets: Targets,
        totals: Totals,
        *,
        beta: float,
        entropies: Tensor | None = None,
        values: Tensor | None = None,
    ) -> LossParts:
        """The loss of some rows: `new_logprobs` (n, T) with gradient, `targets` of the same rows (`Targets.rows`).
        Losses of all micro-batches sum to that of the whole. `beta` >= 0 scales the regulariser."""
        inputs = {
            "new": new_logprobs,
            "old": targets.old_logprobs,
            "reference": targets.reference_logprobs,
            "advantages": targets.advantages,
            "mask": targets.mask,
            "chosen": targets.chosen,
            "totals": totals,
        }
        per_token = targets.weights * call(self.term, inputs, self.numbers)
        if beta:
            per_token = per_token + beta * call(self.regularizer, inputs, self.numbers)
        total = call(self.aggregation, {**inputs, "loss": per_token}, self.numbers)
        return LossParts(total, self._watched(inputs))

    def _estimate(self, shaped: Shaped) -> Tensor:
        inputs = {"rewards": shaped.rewards, "noise": shaped.noise, "greedy": shaped.greedy}
        result: Tensor = call(self.estimator, inputs, self.numbers)
        return result

    def _watched(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
        """Sums over the rows' tokens: `clipped`, `kl` (k3 to the reference, nats), `entropy` where given."""
        probe = inputs["new"].detach().requires_grad_()
        with torch.enable_grad():
            term = call(self.term, {**inputs, "new": probe}, self.numbers)
            gradient = torch.autograd.grad(term.sum(), probe)[0]
        mask = inputs["mask"]
        found = {"clipped": diagnostics.gradient_removed(gradient, inputs["advantages"], mask)}
        if inputs["reference"] is not None:
            found["kl"] = (regularizers.k3(probe.detach(), inputs["reference"]) * mask).sum()
        return found


def _inputs_of_experience(experience: Experience, multipliers: Mapping[str, float] | None) -> dict[str, Any]:
    prompts, group = experience.rewards.shape[:2]
    return {
        "mask": experience.mask,
        "lengths": experience.mask.sum(1).view(prompts, group),
        "truncated": experience.truncated,
        "max_tokens": experience.max_tokens,
        "old": experience.old_logprobs,
        "sampler": experience.sampler_logprobs,
        "reference": experience.reference_logprobs,
        "entropies": experience.entropies,
        "values": experience.values,
        "multipliers": multipliers or {},
    }
