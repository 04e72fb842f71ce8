"""The training loop: gather groups, prepare targets, one or more policy-gradient steps, hold them to budgets, repeat.

Objective of a step, for answers i with tokens t sampled at temperature T from the current policy pi:

    L = aggregate_t [ w_t term(rho_t, A_t) + beta k(pi_t, ref_t) ]        (minimised; see the recipe for each part)

pi and ref are the tempered distributions that answers are really drawn from. At the first update of a rollout rho = 1
in value and carries only the gradient; w_t = min(pi / sampler, 2) corrects for whatever drew.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import msgspec
import structlog
import torch
from torch import Tensor

from infra.contracts import Message, PlauditError
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.algebra.binding import inputs_of
from policy_update.algebra.experience import Targets
from policy_update.algebra.multipliers import update_multipliers
from policy_update.algebra.recipe import Recipe
from policy_update.algebra.regularizers import adapt_coefficient
from policy_update.algebra.scalarization import softmin
from policy_update.checkpoint import Checkpoints, State
from policy_update.critic import Critic
from policy_update.faces import Models
from policy_update.gathering import Gathered, Gatherer, Reward, Sampling
from policy_update.guards import NothingTrained, demand_finite, reason_to_stop
from policy_update.measuring import first_record, measured
from policy_update.merging import merge_into
from policy_update.optimizer import MasterAdamW
from policy_update.order import Order, schedule
from policy_update.processes import Processes
from policy_update.prompts import Conversation
from policy_update.records import StepRecord, TrainingRun
from policy_update.updating import Updating, totals_of

__all__ = ["Models", "NothingTrained", "Reward", "StepRecord", "Trainer", "TrainingRun", "schedule"]

log = structlog.get_logger(__name__)

STEP_BACK = 0.6
"""What the learning rate is multiplied by after a step that broke the KL budget and was taken back."""
MOST_STEPS_BACK = 3


class RecipeUnsuited(PlauditError):
    """The recipe cannot do what the settings ask of it."""

    code = "recipe_unsuited"
    status = 400


class Trainer:
    """One policy update. `reward` scores a rollout; `sample` draws one; both are given, so each can be tested alone."""

    def __init__(
        self,
        models: Models,
        settings: PolicyUpdateSettings,
        recipe: Recipe,
        weights: dict[str, float],
        sample: Sampling,
        reward: Reward,
        *,
        processes: Processes | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.models, self.settings, self.recipe, self.weights = models, settings, recipe, weights
        self._processes, self.checkpoints = processes or Processes(), checkpoints
        _demand_suited(settings, recipe, weights)
        trainable = [p for p in models.policy.parameters() if p.requires_grad]
        if not trainable:
            raise NothingTrained(
                "no parameter of the policy is trainable: the adapter was attached frozen; attach it for training"
            )
        self.optimizer = MasterAdamW(trainable, settings.learning_rate)
        self.critic = self._new_critic() if "values" in recipe.needs else None
        self._gatherer = Gatherer(models, settings, recipe, sample, reward, self._processes, self.critic)
        self._updating = Updating(settings, recipe, self.critic, self.optimizer.collect)
        self._beta = settings.kl_coefficient
        self._rate = settings.learning_rate
        self.multipliers = dict.fromkeys(settings.limits, 0.0)
        self._safe = self.optimizer.snapshot()
        """The newest weights whose KL was measured within the budget."""

    def train(
        self,
        conversations: Sequence[Conversation],
        on_step: Callable[[StepRecord], None] = lambda record: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> TrainingRun:
        """Run until the steps, a budget or `should_stop` end it. Raises NothingTrained, TrainingDiverged.

        The KL of a rollout is that of the weights that drew it: when it is over the budget, the step that led there is
        taken back, and the learning rate falls. A killed run is taken up at its newest checkpoint.
        """
        run = TrainingRun()
        _demand_prompts(min(self.settings.prompts_per_step, len(conversations)), self._processes)
        prompts = Order(conversations, self.settings.seed)
        prompts = self._resume(run, prompts)
        count = min(self.settings.prompts_per_step, len(prompts.conversations))
        for step in range(len(run.history), self.settings.steps):
            if self._processes.tell(should_stop()):
                run.stopped = "stopped from outside"
                self._keep(run, prompts)
                break
            record, reason = self._step(step, count, prompts, run.history)
            run.history.append(record)
            on_step(record)
            backwards = sum(past.taken_back for past in run.history)
            if reason is None and backwards >= MOST_STEPS_BACK:
                budget = self.settings.kl_budget
                reason = f"KL budget of {budget} nats a token spent: {MOST_STEPS_BACK} steps taken back"
            if reason is not None:
                run.stopped = reason
                break
            if self.checkpoints is not None and self.checkpoints.due(step + 1):
                self._keep(run, prompts)
        return self._end(run)

    def _end(self, run: TrainingRun) -> TrainingRun:
        merge_into(self.models.sampler, self.models.base.model, self.models.policy)
        run.distance = float(self.optimizer.distance_trained())
        if not run.distance > 0 and run.stopped != "stopped from outside":
            raise NothingTrained(
                "no weight of the adapter moved: every advantage was zero or every gradient not finite "
                f"({run.stopped}): look at the spread of the rewards, then at policy_update.objectives and temperature"
            )
        return run

    def _step(
        self, step: int, count: int, prompts: Iterator[Conversation], history: Sequence[StepRecord]
    ) -> tuple[StepRecord, str | None]:
        """One rollout and its updates. (record, why the run must end or None)"""
        started = time.perf_counter()
        self._merge()
        merging = time.perf_counter() - started
        gathered = self._gatherer.gather(step, count, prompts)
        begun = time.perf_counter()
        targets = self._prepare(gathered)
        totals = totals_of(targets, gathered.experience.mask, gathered.experience.max_tokens)
        record = first_record(step, gathered, targets, self._beta, self.multipliers, merging)
        old: Tensor | None = None
        reason: str | None = None
        for update in range(self.settings.updates_per_rollout):
            if update:
                self._merge()
            sums, old = self._updating.accumulate(self.models.learner(), gathered, targets, totals, self._beta, old)
            self._processes.add_up(sums.listed())
            if update == 0:
                record = measured(record, sums, totals.tokens)
                reason = reason_to_stop(record, history, self.settings)
                if reason is not None or not record.kl <= self.settings.kl_budget:
                    self._back()
                    record = replace(record, taken_back=True)
                    break
                self._safe = self.optimizer.snapshot()
            record = replace(record, gradient_norm=self._forward(step))
        self._beta = adapt_coefficient(self._beta, record.kl, self.settings.kl_target, self.settings.kl_coefficient)
        return replace(record, update_seconds=time.perf_counter() - begun), reason

    def _prepare(self, gathered: Gathered) -> Targets:
        """The recipe's targets, with the multipliers of the limits moved by what was just seen."""
        experience = gathered.experience
        weights = torch.tensor([self.weights[name] for name in experience.names], dtype=experience.rewards.dtype)
        if self.multipliers:
            means = dict(zip(experience.names, experience.rewards.nanmean((0, 1)).tolist(), strict=True))
            rates = {name: means[name] for name in self.multipliers}
            limits, rate = self.settings.limits, self.settings.multiplier_rate
            self.multipliers = dict(update_multipliers(self.multipliers, rates, limits, rate))
        return self.recipe.prepare(experience, weights, self.multipliers)

    def _forward(self, step: int) -> float:
        """One optimiser step from the gradients of all processes; the norm of the gradient."""
        self._processes.add_up(self.optimizer.gradients())
        norm = self.optimizer.step(self._rate * schedule(step, self.settings))
        demand_finite(step, gradient=norm)
        if self.critic is not None:
            self._processes.add_up(self.critic.gradients())
            self.critic.step()
        return norm

    def _back(self) -> None:
        """Back to the newest weights that were well, more slowly from there."""
        self.optimizer.restore(self._safe)
        self._rate *= STEP_BACK
        if self.critic is not None:
            self.critic.clear()

    def _merge(self) -> None:
        merge_into(self.models.sampler, self.models.base.model, self.models.policy)

    def _new_critic(self) -> Critic:
        device, head = self.models.base.device, self.models.learner()[1]
        return Critic(head.shape[1], device, self.settings.critic_learning_rate)

    def _keep(self, run: TrainingRun, prompts: "Order") -> None:
        """Write a checkpoint, where there is a place for it."""
        if self.checkpoints is None or not self._processes.leads:
            return
        tensors = {f"adapter/{name}": tensor for name, tensor in self.optimizer.state().items()}
        tensors |= {f"safe/{index}": tensor for index, tensor in enumerate(self._safe)}
        if self.critic is not None:
            tensors |= {f"critic/{name}": tensor for name, tensor in self.critic.state().items()}
        notes = {
            "beta": self._beta,
            "rate": self._rate,
            "multipliers": self.multipliers,
            "taken": prompts.taken,
            "conversations": msgspec.to_builtins(prompts.conversations),
            "history": [asdict(record) for record in run.history],
        }
        self.checkpoints.write(State(len(run.history), tensors, notes))

    def _resume(self, run: TrainingRun, prompts: "Order") -> "Order":
        """Go on from the newest checkpoint, if there is one; the prompts in its order."""
        state = self.checkpoints.newest() if self.checkpoints is not None and self._processes.leads else None
        state = self._processes.tell(state)
        if state is None:
            return prompts
        kept = msgspec.convert(state.notes["conversations"], tuple[tuple[Message, ...], ...])
        if not set(kept) <= set(prompts.conversations):
            log.warning("checkpoint_left", step=state.step, reason="prompts it was trained on are no longer there")
            return prompts
        self.optimizer.load(_part(state.tensors, "adapter/"))
        safe = _part(state.tensors, "safe/")
        self._safe = [safe[str(index)] for index in range(len(safe))]
        if self.critic is not None:
            self.critic.load(_part(state.tensors, "critic/"))
        self._beta, self._rate = state.notes["beta"], state.notes["rate"]
        self.multipliers = dict(state.notes["multipliers"])
        run.history = [StepRecord.of(document) for document in state.notes["history"]]
        run.resumed_at = state.step
        log.info("policy_update_resumed", step=state.step)
        return Order(kept, self.settings.seed, state.notes["taken"])


def _demand_prompts(count: int, processes: Processes) -> None:
    """Raises RecipeUnsuited where a process would have nothing to draw."""
    if count < processes.size:
        raise RecipeUnsuited(
            f"a step has {count} prompts (policy_update.prompts_per_step, or all there are) for {processes.size} "
            "processes: start fewer processes, or raise policy_update.prompts_per_step",
            field="prompts_per_step",
        )


def _part(tensors: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _demand_suited(settings: PolicyUpdateSettings, recipe: Recipe, weights: Mapping[str, float]) -> None:
    """Raises RecipeUnsuited where the recipe would silently do less than the settings say."""
    if settings.updates_per_rollout > 1 and "updates" not in recipe.needs:
        raise RecipeUnsuited(
            f"policy_update.updates_per_rollout = {settings.updates_per_rollout}, but {recipe.name} has no ratio "
            "that corrects for weights that have moved: set it to 1, or choose a recipe with one",
            field="updates_per_rollout",
        )
    if recipe.all_numbers.get("k", 0.0) > settings.group_size:
        raise RecipeUnsuited(
            f"policy_update.recipe_options.k = {recipe.all_numbers['k']:g} is more than policy_update.group_size = "
            f"{settings.group_size}: no answer would ever be among the best of so many; lower k or raise group_size",
            field="recipe_options.k",
        )
    below = sorted(name for name, weight in weights.items() if weight < 0)
    if recipe.scalarization is softmin and below:
        raise RecipeUnsuited(
            f"policy_update.objectives.{below[0]} = {weights[below[0]]:g}, but softmin has no sense for a weight below "
            "0 and would leave it out: choose another recipe, or a reward that is wanted high",
            field=f"objectives.{below[0]}",
        )
    if settings.limits and "multipliers" not in inputs_of(recipe.scalarization):
        raise RecipeUnsuited(
            f"policy_update.limits is set, but {recipe.name} knows no limits and would raise what they name: choose "
            "the recipe constrained or feasibility_first, or remove the limits",
            field="limits",
        )
    missing = sorted(set(settings.limits) - set(weights))
    if missing:
        raise RecipeUnsuited(
            f"policy_update.limits names {', '.join(missing)}, which no reward gives: name a head of the reward model "
            "or a reward of policy_update.rewards.terms",
            field="limits",
        )
