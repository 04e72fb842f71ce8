"""From prompts to Experience: draw, score, look up the reference, and what else the recipe asks to be given."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.algebra.experience import Experience
from policy_update.algebra.recipe import Recipe
from policy_update.critic import Critic
from policy_update.faces import Models
from policy_update.objectives import Rewards
from policy_update.processes import Processes, padded_together
from policy_update.prompts import Conversation
from policy_update.rollout import Pass, Rollout, all_logprobs, join_rollouts, policy_pass

Reward = Callable[[Rollout], Rewards]
ALIKE = 1e-6
"""A group whose rewards spread by no more than this, in every objective, teaches nothing."""


class Sampling(Protocol):
    """Draws answers. `first` is the place of the first conversation among those of all processes: seeds go by it."""

    def __call__(
        self, model: Any, conversations: Sequence[Conversation], seed: int, *, first: int = 0, greedy: bool = False
    ) -> Rollout: ...


@dataclass(frozen=True)
class Gathered:
    """One step's material. `rollout` has this process's own groups; `experience` those of all processes, `rows` being
    this one's among them; `base_logprobs` (N, T) as `experience`, where the champion is not the base itself."""

    rollout: Rollout
    experience: Experience
    rows: slice
    base_logprobs: Tensor | None
    redrawn: int
    sampling_seconds: float
    scoring_seconds: float


@dataclass(frozen=True)
class _Drawn:
    """One process's groups with all that is known of them; seconds of drawing and scoring."""

    rollout: Rollout
    rewards: Rewards
    greedy: Tensor | None
    seconds: tuple[float, float]

    def groups(self, kept: Sequence[int]) -> "_Drawn":
        size = self.rollout.group_size
        rows = torch.tensor([p * size + g for p in kept for g in range(size)], dtype=torch.long)
        base = self.rewards.base_logprobs
        rewards = replace(
            self.rewards, values=self.rewards.values[rows], base_logprobs=None if base is None else base[rows]
        )
        greedy = None if self.greedy is None else self.greedy[list(kept)]
        return _Drawn(self.rollout.groups(kept), rewards, greedy, self.seconds)


class Gatherer:
    """Draws and scores. Holds no state between steps: the same arguments give the same Experience."""

    def __init__(
        self,
        models: Models,
        settings: PolicyUpdateSettings,
        recipe: Recipe,
        sample: Sampling,
        reward: Reward,
        processes: Processes,
        critic: Critic | None,
    ) -> None:
        self._models, self._settings, self._recipe = models, settings, recipe
        self._sample, self._reward, self._processes, self._critic = sample, reward, processes, critic

    def gather(self, step: int, count: int, prompts: Iterator[Conversation]) -> Gathered:
        """Groups for `count` prompts, at least one a process. With dynamic sampling, groups whose rewards are all alike
        are replaced by groups of further prompts, at most `dynamic_refills` times; what is missing then stays missing,
        and where no group at all differs, the first ones stand. No process is ever without rows: each draws at least
        one group a turn, and one that found none that differs keeps its first, which teaches nothing."""
        seed = self._settings.seed * 1_000_003 + step
        rounds = 1 + (self._settings.dynamic_refills if self._recipe.dynamic_sampling else 0)
        drawn: list[_Drawn] = []
        kept: list[_Drawn] = []
        wanted = found = place = 0
        for turn in range(rounds):
            wanted = max(count - found, self._processes.size)
            drawn.append(self._draw([next(prompts) for _ in range(wanted)], seed, place))
            place += wanted
            good = self._differing(drawn[-1]) if self._recipe.dynamic_sampling else range(wanted)
            kept.append(drawn[-1].groups(list(good)) if self._recipe.dynamic_sampling else drawn[-1])
            found += sum(self._processes.gather(len(good))) if self._recipe.dynamic_sampling else wanted
            if found >= count or turn + 1 == rounds:
                break
        own = [part for part in kept if len(part.rewards.values)] or [drawn[0].groups([0])]
        whole = _joined(own if found else drawn[:1])
        begun = time.perf_counter()
        gathered = self._put_together(whole, place - count)
        sampling, scoring = (sum(part.seconds[i] for part in drawn) for i in range(2))
        return replace(gathered, sampling_seconds=sampling, scoring_seconds=scoring + time.perf_counter() - begun)

    def _draw(self, conversations: Sequence[Conversation], seed: int, place: int) -> _Drawn:
        own = self._processes.share(len(conversations))
        chosen = [conversations[i] for i in own]
        begun = time.perf_counter()
        rollout = self._sample(self._models.sampler, chosen, seed, first=place + own.start)
        greedy = None
        if "greedy" in self._recipe.needs:
            greedy = self._sample(self._models.sampler, chosen, seed, first=place + own.start, greedy=True)
        drawn = time.perf_counter()
        rewards = self._reward(rollout)
        greedy_rewards = None if greedy is None else self._reward(greedy).values
        return _Drawn(rollout, rewards, greedy_rewards, (drawn - begun, time.perf_counter() - drawn))

    def _differing(self, drawn: _Drawn) -> list[int]:
        """Which groups have rewards that differ, in any objective."""
        values = drawn.rewards.values.view(len(drawn.rollout.conversations), -1, len(drawn.rewards.names))
        low, high = values.nan_to_num(torch.inf).amin(1), values.nan_to_num(-torch.inf).amax(1)
        found: list[int] = ((high - low) > ALIKE).any(1).nonzero().squeeze(1).tolist()
        return found

    def _put_together(self, drawn: _Drawn, redrawn: int) -> Gathered:
        """This process's material and that of all the others as one Experience."""
        rollout, rewards = drawn.rollout, drawn.rewards
        first = self._first_pass(rollout)
        lengths = rollout.mask.sum(1)
        last = rollout.ids.gather(1, (lengths - 1)[:, None]).squeeze(1)
        ended = torch.isin(last, torch.tensor(self._models.base.end_ids, device=last.device))
        reference = self._reference(rollout, rewards)
        apart = self._models.reference is not self._models.base.model
        own: dict[str, Any] = {
            "rewards": rewards.values,
            "noise": rewards.noise * len(rewards.values),
            "mask": rollout.mask,
            "old_logprobs": rollout.sampler_logprobs if first is None else first.logprobs,
            "sampler_logprobs": rollout.sampler_logprobs,
            "truncated": (lengths >= self._settings.max_new_tokens) & ~ended,
            "reference_logprobs": reference,
            "entropies": None if first is None else first.entropies,
            "values": None if first is None else first.values,
            "greedy_rewards": drawn.greedy,
            "base_logprobs": rewards.base_logprobs if apart else None,
        }
        start, together = self._all(own)
        count = len(together["rewards"])
        together["rewards"] = together["rewards"].view(-1, rollout.group_size, len(rewards.names))
        together["noise"] = together["noise"] / count
        base = together.pop("base_logprobs")
        experience = Experience(names=rewards.names, max_tokens=self._settings.max_new_tokens, **together)
        return Gathered(rollout, experience, slice(start, start + len(rollout.ids)), base, redrawn, 0.0, 0.0)

    def _all(self, own: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """(the row this process's part begins at, every column of all processes)."""
        if self._processes.size == 1:
            return 0, own
        place = own["rewards"].device
        mine: dict[str, Any] = {name: None if t is None else t.cpu() for name, t in own.items()}
        parts = self._processes.gather(mine)
        together: dict[str, Any] = {}
        for name in own:
            columns = [part[name] for part in parts]
            if any(column is None for column in columns):
                together[name] = None
            elif name == "noise":
                together[name] = torch.stack(columns).sum(0)
            else:
                wide = columns[0].ndim == 2 and name not in ("rewards", "greedy_rewards")
                together[name] = padded_together(columns) if wide else torch.cat(columns)
        moved = {name: None if t is None else t.to(place) for name, t in together.items()}
        before = sum(map(len, (part["rewards"] for part in parts[: self._processes.rank])))
        return before, moved

    @torch.no_grad()
    def _first_pass(self, rollout: Rollout) -> Pass | None:
        """The weights that drew, by the trainer's own arithmetic; None where nothing is computed from it before the
        update, whose own pass then gives the same numbers."""
        needs = self._recipe.needs
        if not needs & {"old", "entropies", "values"}:
            return None
        learner = self._models.learner()
        passes = [
            policy_pass(
                learner,
                rollout,
                rows,
                self._settings.temperature,
                entropies="entropies" in needs,
                critic=self._critic,
            )
            for rows in rollout.micro_batches(self._settings.micro_batch_tokens, self._settings.micro_batch_prompts)
        ]
        columns = [[getattr(one, name) for one in passes] for name in ("logprobs", "entropies", "values")]
        return Pass(*(None if column[0] is None else torch.cat(column) for column in columns))  # type: ignore[arg-type]

    def _reference(self, rollout: Rollout, rewards: Rewards) -> Tensor:
        """Log-probabilities (N, T) under the champion; the base's came with the rewards."""
        if self._models.reference is self._models.base.model and rewards.base_logprobs is not None:
            return rewards.base_logprobs
        return all_logprobs(self._models.reference, rollout, self._settings.temperature)


def _joined(parts: Sequence[_Drawn]) -> _Drawn:
    if len(parts) == 1:
        return parts[0]
    counts = [len(part.rewards.values) for part in parts]
    bases = [part.rewards.base_logprobs for part in parts]
    greedy = [part.greedy for part in parts]
    rewards = replace(
        parts[0].rewards,
        values=torch.cat([part.rewards.values for part in parts]),
        noise=sum((part.rewards.noise * n for part, n in zip(parts, counts, strict=True)), torch.zeros(()))
        / sum(counts),
        base_logprobs=None if bases[0] is None else padded_together(bases),  # type: ignore[arg-type]
    )
    first = greedy[0]
    return _Drawn(
        join_rollouts([part.rollout for part in parts]),
        rewards,
        None if first is None else torch.cat(greedy),  # type: ignore[arg-type]
        parts[0].seconds,
    )
