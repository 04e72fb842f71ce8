"""Settings of the rewards of the room `policy_update`."""

from typing import Literal

from pydantic import Field

from infra.settings.base import Section

Bound = Literal["", "tanh", "sigmoid", "clip"]
Parameter = bool | int | float | str | tuple[str, ...]


class RewardTerm(Section):
    """One reward beside the reward model's heads. Its name, under `policy_update.objectives`, gives it its weight."""

    kind: str
    """Name in the registry: exact_match, math, json_schema, regex, format, repetition, length, lexicon, classifier, or
    `package.module:function` of your own."""
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    """Constants of the kind; what is not given keeps its default. An unknown one is refused."""
    bound: Bound = ""
    """What keeps it in bounds before weighting: tanh (-1 to 1), sigmoid (0 to 1) or clip (-1 to 1), each after division
    by `scale`. Empty: the kind's own."""
    scale: float = Field(1.0, gt=0, allow_inf_nan=False)
    """What the reward is divided by before it is bounded."""


class PolicyRewardsSettings(Section):
    """What an answer is worth to a policy, beside the weights in `policy_update.objectives`."""

    uncertainty_penalty: float = Field(0.0, ge=0, allow_inf_nan=False)
    """k in mean - k * spread: how many of its own standard errors a head's reward is lowered by in training (a cost,
    such as harm, is raised). About 1 keeps a policy where the reward model knows; 0: the mean alone."""
    utility_bound: float = Field(6.0, gt=0, allow_inf_nan=False)
    """The preference head has no bound of its own: its reward is b tanh(utility / b) with this b. Log-odds of the other
    heads lie within 9.2 of 0."""
    meaning_bound: float = Field(10.0, gt=0, allow_inf_nan=False)
    """Relevance and coherence (nats a token) are clipped to this distance from 0."""
    self_certainty: bool = False
    """Log each step's mean self-certainty of the answers. It is a feature only: as a reward it makes a policy repeat
    what it is sure of."""
    verifier_seconds: float = Field(5.0, gt=0, allow_inf_nan=False)
    """Longest a verifier in a child process (math, regex, json_schema) may take for an answer; then it says nothing."""
    terms: dict[str, RewardTerm] = Field(default_factory=dict)
    """Rewards by name: `[policy_update.rewards.terms.sums]` with `kind = "math"`, and `sums = 1.0` among the
    objectives."""
