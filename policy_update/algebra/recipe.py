"""A recipe: one function of each stage and the numbers that differ from their defaults; `prepare` and `loss` run them.

prepare, once a rollout:
    rewards -> shaping -> scalarization(estimator) -> scaling -> credit -> whitening -> choice
    mask -> filter; old and sampler log-probabilities -> importance
loss, each micro-batch:
    importance * term(new, old, A) + beta * regularizer + bonus -> aggregation; + critic -> token mean
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from policy_update.algebra import (
    aggregation,
    covariance,
    credit,
    diagnostics,
    estimators,
    filters,
    importance,
    policy_terms,
    regularizers,
    scalarization,
    shaping,
    whitening,
)
from policy_update.algebra.binding import Function, call, defaults_of, inputs_of
from policy_update.algebra.experience import Experience, LossParts, Targets, Totals
from policy_update.algebra.shaping import Shaped

BEFORE = ("shaping", "scalarization", "estimator", "scaling", "filter", "credit", "whitening", "choice", "importance")
"""Stages that `prepare` runs."""
WITHIN = ("term", "regularizer", "bonus", "critic", "aggregation")
"""Stages that `loss` runs."""
STAGES = BEFORE + WITHIN


@dataclass(frozen=True)
class Recipe:
    """One named algorithm. `paper`: arXiv id, or what else to cite; `differs`: what sets it apart, and whom we follow
    where libraries disagree.

    `dynamic_sampling`: the trainer should leave out groups whose rewards are all alike and draw others in their place.
    """

    name: str
    paper: str
    differs: str
    shaping: tuple[Function, ...] = (shaping.drop_saturated,)
    scalarization: Function = scalarization.sum_then_each
    estimator: Function = estimators.group_normalized
    scaling: Function = whitening.as_it_is
    filter: Function = filters.every_token
    credit: Function = credit.uniform
    whitening: Function = whitening.as_it_is
    choice: Function = covariance.nothing_chosen
    importance: Function = importance.truncated_importance
    term: Function = policy_terms.clipped
    regularizer: Function = regularizers.k3
    bonus: Function = regularizers.no_bonus
    critic: Function = regularizers.no_critic
    aggregation: Function = aggregation.token_mean
    numbers: Mapping[str, float] = field(default_factory=dict)
    dynamic_sampling: bool = False

    def functions(self, stages: tuple[str, ...] = STAGES) -> Iterator[Function]:
        """The functions of some stages, in order."""
        for stage in stages:
            found = getattr(self, stage)
            yield from found if isinstance(found, tuple) else (found,)

    @cached_property
    def all_numbers(self) -> dict[str, float]:
        """Every number of every function, with the value it has here."""
        defaults = {name: value for function in self.functions() for name, value in defaults_of(function).items()}
        return {name: self.numbers.get(name, value) for name, value in defaults.items()}

    @cached_property
    def needs(self) -> frozenset[str]:
        """What must be there beyond rewards, mask and the sampler's log-probabilities: of "reference", "entropies" (in
        the experience and for `loss`), "values" (likewise), "greedy", "old" (`prepare` reads `old_logprobs` for more
        than the importance weights: see `with_old`), and "updates" (the term knows the old policy, so that several
        optimiser steps a rollout make sense)."""
        asked = {name for function in self.functions() for name in inputs_of(function)}
        early = {name for function in self.functions(BEFORE[:-1]) for name in inputs_of(function)}
        needed = asked & {"reference", "entropies", "values", "greedy"}
        return frozenset(needed | (early & {"old"}) | ({"updates"} if "old" in inputs_of(self.term) else set()))

    def prepare(
        self, experience: Experience, weights: Tensor, multipliers: Mapping[str, float] | None = None
    ) -> Targets:
        """Advantages, masks and importance weights of a rollout. `weights` (K,) of the objectives; `multipliers` by
        objective, for those that are limits rather than goals. Pure."""
        inputs = _inputs_of(experience, multipliers or {})
        inputs["shaped"] = _unshaped(experience, weights)
        for function in self.shaping:
            inputs["shaped"] = call(function, inputs, self.numbers)
        inputs["estimate"] = self._estimate
        advantages, parts = call(self.scalarization, inputs, self.numbers)
        scaled = call(self.scaling, {"advantages": advantages}, self.numbers)
        inputs["sequence"] = scaled.flatten().to(experience.old_logprobs)
        credited = call(self.credit, inputs, self.numbers)
        inputs["mask"] = call(self.filter, inputs, self.numbers)
        inputs["advantages"] = credited.advantages
        inputs["advantages"] = call(self.whitening, inputs, self.numbers)
        return Targets(
            advantages=inputs["advantages"],
            mask=inputs["mask"],
            weights=call(self.importance, inputs, self.numbers),
            old_logprobs=experience.old_logprobs,
            reference_logprobs=experience.reference_logprobs,
            chosen=call(self.choice, inputs, self.numbers),
            returns=credited.returns,
            old_values=experience.values,
            diagnostics=diagnostics.of_objectives(inputs["shaped"], advantages, parts),
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
        Losses of all micro-batches sum to that of the whole. `beta` >= 0 scales the regulariser; `entropies`, `values`
        (n, T) with gradient where the recipe needs them."""
        inputs = {
            "new": new_logprobs,
            "old": targets.old_logprobs,
            "reference": targets.reference_logprobs,
            "advantages": targets.advantages,
            "mask": targets.mask,
            "chosen": targets.chosen,
            "returns": targets.returns,
            "old_values": targets.old_values,
            "entropies": entropies,
            "values": values,
            "totals": totals,
        }
        per_token = targets.weights * call(self.term, inputs, self.numbers)
        if beta:
            per_token = per_token + beta * call(self.regularizer, inputs, self.numbers)
        per_token = per_token + call(self.bonus, inputs, self.numbers)
        total = call(self.aggregation, {**inputs, "loss": per_token}, self.numbers)
        critic = aggregation.token_mean(call(self.critic, inputs, self.numbers), targets.mask, totals)
        return LossParts(total + critic, self._watched(inputs))

    def _estimate(self, shaped: Shaped) -> Tensor:
        inputs = {"rewards": shaped.rewards, "noise": shaped.noise, "greedy": shaped.greedy}
        result: Tensor = call(self.estimator, inputs, self.numbers)
        return result

    def _watched(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
        """Sums over the rows' tokens: `clipped`, and where known `kl` (k3 to the reference) and `entropy`, in nats."""
        probe = inputs["new"].detach().requires_grad_()
        with torch.enable_grad():
            term = call(self.term, {**inputs, "new": probe}, self.numbers)
            gradient = torch.autograd.grad(term.sum(), probe)[0]
        mask = inputs["mask"]
        found = {"clipped": diagnostics.gradient_removed(gradient, inputs["advantages"], mask)}
        if inputs["reference"] is not None:
            found["kl"] = (regularizers.k3(probe.detach(), inputs["reference"]) * mask).sum()
        if inputs["entropies"] is not None:
            found["entropy"] = (inputs["entropies"].detach() * mask).sum()
        return found


def _unshaped(experience: Experience, weights: Tensor) -> Shaped:
    rewards = experience.rewards
    greedy = experience.greedy_rewards
    return Shaped(
        experience.names,
        rewards,
        weights.to(rewards),
        experience.noise.to(rewards),
        None if greedy is None else greedy.to(rewards),
    )


def _inputs_of(experience: Experience, multipliers: Mapping[str, float]) -> dict[str, Any]:
    prompts, group = experience.rewards.shape[:2]
    return {
        "mask": experience.mask,
        "lengths": experience.mask.sum(1).view(prompts, group).to(experience.rewards.device),
        "truncated": experience.truncated,
        "max_tokens": experience.max_tokens,
        "group": group,
        "old": experience.old_logprobs,
        "sampler": experience.sampler_logprobs,
        "reference": experience.reference_logprobs,
        "entropies": experience.entropies,
        "values": experience.values,
        "multipliers": multipliers,
    }
