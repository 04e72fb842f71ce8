"""What the stages hand to one another. Frozen, tensors only; nothing here knows a model, a clock or a setting.

Shapes: P prompts, G answers a prompt, N = P G rows (the answers of a prompt adjacent), T tokens, K objectives.
Log-probabilities in nats, 0 at padding; masks are 1 on real tokens.
"""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Experience:
    """One rollout, scored: all that advantages may depend on.

    `rewards` (P, G, K), NaN = missing; `noise` (K,) >= 0, each head's own standard error, same units; `old_logprobs`
    (N, T) of the weights that drew the answers, by the trainer's own arithmetic; `sampler_logprobs` (N, T) as the
    sampler drew them; `truncated` (N,) true where the token limit cut the answer; `max_tokens` that limit.
    Only where a recipe asks for them: `reference_logprobs` (N, T), `entropies` (N, T) of the policy that drew,
    `values` (N, T) of the critic, `greedy_rewards` (P, K) of the greedy answer.
    """

    names: tuple[str, ...]
    rewards: Tensor
    noise: Tensor
    mask: Tensor
    old_logprobs: Tensor
    sampler_logprobs: Tensor
    truncated: Tensor
    max_tokens: int
    reference_logprobs: Tensor | None = None
    entropies: Tensor | None = None
    values: Tensor | None = None
    greedy_rewards: Tensor | None = None


@dataclass(frozen=True)
class Targets:
    """What the loss of a step is computed against; constant while the weights move.

    `advantages` (N, T); `mask` (N, T): tokens that take part in the policy term; `weights` (N, T) importance weights of
    the sampler; `chosen` (N, T) tokens that a covariance rule picked (see `covariance`), or None; `returns` (N, T)
    for the critic, or None. `diagnostics`: named scalars, each a tensor, to be read once a step.
    """

    advantages: Tensor
    mask: Tensor
    weights: Tensor
    old_logprobs: Tensor
    reference_logprobs: Tensor | None = None
    chosen: Tensor | None = None
    returns: Tensor | None = None
    old_values: Tensor | None = None
    diagnostics: dict[str, Tensor] = field(default_factory=dict)

    def rows(self, rows: slice) -> "Targets":
        """The same for some rows: a micro-batch."""

        def cut(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[rows]

        return Targets(
            self.advantages[rows],
            self.mask[rows],
            self.weights[rows],
            self.old_logprobs[rows],
            cut(self.reference_logprobs),
            cut(self.chosen),
            cut(self.returns),
            cut(self.old_values),
        )


@dataclass(frozen=True)
class Totals:
    """Counts over the whole optimiser step, all processes and micro-batches: what a loss is divided by, so that
    splitting a batch changes nothing. `tokens`, `answers` that may take part; `max_tokens` an answer."""

    tokens: float
    answers: float
    max_tokens: int


@dataclass(frozen=True)
class LossParts:
    """`loss` () to be minimised, already divided by the step's totals; `diagnostics`: sums over tokens (divide by
    Totals.tokens) of what is worth watching, each a tensor without gradient."""

    loss: Tensor
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
