"""One pass over a rollout that leaves the step's gradient in the adapter: micro-batches, sums, and what is left out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.algebra.experience import Targets, Totals
from policy_update.algebra.importance import truncated_importance
from policy_update.algebra.recipe import Recipe
from policy_update.algebra.regularizers import k3, no_penalty
from policy_update.critic import Critic
from policy_update.gathering import Gathered
from policy_update.rollout import Rollout, policy_pass


@dataclass(frozen=True)
class Sums:
    """Sums over this process's answers, as tensors (): `kl`, `mismatch`, `clipped`, `surprise` (minus log-probability),
    `kl_base` over tokens drawn now (`tokens` of them); `loss` already divided by the step's totals; `idle` groups left
    out."""

    loss: Tensor
    kl: Tensor
    kl_base: Tensor
    mismatch: Tensor
    clipped: Tensor
    surprise: Tensor
    tokens: Tensor
    idle: Tensor

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def listed(self) -> list[Tensor]:
        return [getattr(self, name) for name in self.__dataclass_fields__]

    @classmethod
    def zero(cls, device: torch.device) -> "Sums":
        return cls(*(torch.zeros((), device=device) for _ in cls.__dataclass_fields__))


def totals_of(targets: Targets, mask: Tensor, max_tokens: int) -> Totals:
    """What the losses of a step are divided by: every answer that may take part, those left out of the pass
    included."""
    return Totals(float(targets.mask.sum()), float(targets.mask.any(1).sum()), max_tokens)


def idle_groups(targets: Targets, rollout: Rollout, offset: int, recipe: Recipe, beta: float) -> list[int]:
    """Conversations of this process that nothing pulls at: no advantage in any answer, and no regulariser to hold them.
    Their forward pass would end in a gradient of exactly 0."""
    held = beta and recipe.regularizer is not no_penalty
    if held or recipe.needs & {"entropies", "values"}:
        return []
    size = rollout.group_size
    own = targets.rows(slice(offset, offset + len(rollout.ids)))
    pulled = ((own.advantages * own.mask) != 0).any(1).view(-1, size).any(1)
    return (~pulled).nonzero().squeeze(1).tolist()


class Updating:
    """Accumulates gradients of `recipe.loss`. `collect` is called after each backward pass, to take the gradients
    over."""

    def __init__(
        self, settings: PolicyUpdateSettings, recipe: Recipe, critic: Critic | None, collect: Callable[[], None]
    ) -> None:
        self._settings, self._recipe, self._critic, self._collect = settings, recipe, critic, collect

    def accumulate(
        self, learner: Any, gathered: Gathered, targets: Targets, totals: Totals, beta: float, old: Tensor | None
    ) -> tuple[Sums, Tensor]:
        """Backward through every micro-batch of this process. `old` (N, T): the log-probabilities at the rollout's
        first update; None makes this the first one, which finds them itself. Returns (sums, old)."""
        rollout = gathered.rollout
        own = targets.rows(gathered.rows)
        idle = set(idle_groups(targets, rollout, gathered.rows.start, self._recipe, beta))
        found = torch.zeros_like(rollout.sampler_logprobs) if old is None else old
        sums = Sums.zero(rollout.ids.device)
        sums.idle.fill_(len(idle))
        width = rollout.ids.shape[1]
        settings = self._settings
        for rows in rollout.micro_batches(settings.micro_batch_tokens, settings.micro_batch_prompts):
            cut = _narrow(own.rows(rows), width)
            base = None if gathered.base_logprobs is None else gathered.base_logprobs[gathered.rows][rows][:, :width]
            if set(rollout.owner[rows].tolist()) <= idle:
                new = rollout.sampler_logprobs[rows]
                sums += self._watched(new, cut, rollout, rows, base)
                found[rows] = new
                continue
            result = policy_pass(
                learner,
                rollout,
                rows,
                settings.temperature,
                entropies="entropies" in self._recipe.needs,
                entropy_gradient=True,
                critic=self._critic,
            )
            new = result.logprobs
            if old is None:
                found[rows] = new.detach()
            cut = self._weighted(cut, found[rows], rollout, rows)
            parts = self._recipe.loss(new, cut, totals, beta=beta, entropies=result.entropies, values=result.values)
            parts.loss.backward()  # type: ignore[no-untyped-call]
            self._collect()
            sums += self._watched(new.detach(), cut, rollout, rows, base)
            sums = replace(
                sums, loss=sums.loss + parts.loss.detach(), clipped=sums.clipped + parts.diagnostics["clipped"]
            )
        return sums, found

    def _weighted(self, targets: Targets, old: Tensor, rollout: Rollout, rows: slice) -> Targets:
        """Targets for the old log-probabilities found. Logged answers get truncated importance weights, whatever the
        recipe does about its own sampler."""
        sampler, logged = rollout.sampler_logprobs[rows], rollout.logged[rows]
        targets = self._recipe.with_old(targets, old, sampler)
        if not bool(logged.any()):
            return targets
        return replace(
            targets, weights=torch.where(logged[:, None], truncated_importance(old, sampler), targets.weights)
        )

    def _watched(self, new: Tensor, targets: Targets, rollout: Rollout, rows: slice, base: Tensor | None) -> Sums:
        """What is worth watching of some rows; answers of the log say nothing about what the policy does."""
        mask = rollout.mask[rows] * ~rollout.logged[rows][:, None]
        zero = torch.zeros((), device=new.device)
        reference = targets.reference_logprobs
        return Sums(
            loss=zero,
            kl=zero if reference is None else (k3(new, reference) * mask).sum(),
            kl_base=zero if base is None else (k3(new, base) * mask).sum(),
            mismatch=((new - rollout.sampler_logprobs[rows]).abs() * mask).sum(),
            clipped=zero,
            surprise=-(new * mask).sum(),
            tokens=mask.sum().to(new.dtype),
            idle=zero,
        )


def _narrow(targets: Targets, width: int) -> Targets:
    """This process's own columns: others may have drawn longer answers."""

    def cut(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor[:, :width]

    return Targets(
        targets.advantages[:, :width],
        targets.mask[:, :width],
        targets.weights[:, :width],
        targets.old_logprobs[:, :width],
        cut(targets.reference_logprobs),
        cut(targets.chosen),
        cut(targets.returns),
        cut(targets.old_values),
    )
