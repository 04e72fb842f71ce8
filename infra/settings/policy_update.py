"""Settings of the room `policy_update`."""

from pydantic import Field

from infra.settings.base import Section
from infra.settings.policy_candidates import CandidateSettings
from infra.settings.policy_gate import GateSettings
from infra.settings.policy_rewards import PolicyRewardsSettings


class PolicyUpdateSettings(Section):
    """Training of an adapter by multi-objective GRPO."""

    recipe: str = "gdpo"
    """Name of the algorithm: `plaudit policy-update recipes` lists them with their papers, and
    docs/policy-update-recipes.md says which setting follows which paper."""
    recipe_options: dict[str, bool | float | str | list[str]] = Field(default_factory=dict)
    """Changes to the recipe: one of its numbers by name (`clip_high = 0.3`), another function for one of its stages
    (`regularizer = "k2"`, `shaping = ["drop_saturated", "soft_overlong"]`), or `dynamic_sampling`. `plaudit
    policy-update recipes NAME` lists what a recipe has; anything else is refused."""
    adapter_name: str = Field("loop", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Adapters are `adapter_name@version`; versions count up and are never reused."""
    objectives: dict[str, float] = Field(
        default_factory=lambda: {
            "love": 1.0,
            "sentiment": 0.5,
            "utility": 0.5,
            "reuse": 0.25,
            "relevance": 0.7,
            "coherence": 0.7,
        }
    )
    """Weight of each objective: heads of the reward model by name, `utility` for its preference head, `relevance` for
    pointwise mutual information with the prompt and `coherence` for likelihood, both under the base model. A head the
    reward model lacks is left out."""
    cross_fit: bool = True
    """Train against the reward model of one half of the people and be gated by that of the other half, where the
    reward model holds both: what a policy learns to exploit in the one, the other has not learned."""
    steps: int = Field(40, ge=1)
    prompts_per_step: int = Field(8, ge=1)
    group_size: int = Field(8, ge=2)
    """Answers sampled for each prompt."""
    micro_batch_tokens: int = Field(768, ge=1)
    """Tokens in one backward pass, prompts counted once: memory against speed. It changes no gradient."""
    micro_batch_prompts: int = Field(64, ge=1)
    """Most prompts in one backward pass."""
    updates_per_rollout: int = Field(1, ge=1)
    """Optimiser steps on each rollout. More than one needs a recipe with a ratio."""
    dynamic_refills: int = Field(2, ge=0)
    """How often a recipe with dynamic sampling draws further prompts in the place of groups without differences."""
    max_new_tokens: int = Field(64, ge=1)
    temperature: float = Field(0.8, gt=0)
    """Sampling temperature of rollouts; the policy that is trained is the tempered one. Serve at the same."""
    learning_rate: float = Field(5e-4, gt=0)
    warmup_steps: int = Field(2, ge=0)
    final_rate: float = Field(1.0, gt=0, le=1)
    """The learning rate falls linearly to this share of itself over the steps: late steps cost most KL."""
    lora_rank: int = Field(16, ge=1)
    lora_alpha: int = Field(32, ge=1)
    lora_first_layer: int = Field(0, ge=0)
    """Decoder layers below this one get no LoRA, and gradients are not computed there: less time, less freedom."""
    kl_coefficient: float = Field(0.05, ge=0)
    """Floor of the adaptive KL coefficient."""
    kl_target: float = Field(0.12, gt=0)
    """Nats a token above which the coefficient grows."""
    kl_budget: float = Field(0.2, gt=0)
    """Nats a token at which training stops: the update has spent its distance from the champion."""
    kl_base_budget: float = Field(0.6, gt=0)
    """Nats a token from the base at which training stops, where a champion lies between: a chain of updates, each near
    the one before, must not end anywhere."""
    entropy_floor: float = Field(0.02, ge=0)
    """Nats a token below which training stops: answers no longer vary, so nothing more is learned from groups."""
    length_runaway: float = Field(3.0, gt=1)
    """Training stops when answers grow to this multiple of their length over the first three steps."""
    critic_learning_rate: float = Field(1e-2, gt=0)
    """Of the value head, for recipes with a critic."""
    limits: dict[str, float] = Field(default_factory=dict)
    """Objectives held below a rate instead of raised, for constrained recipes: `harm = 0.02`."""
    multiplier_rate: float = Field(0.5, gt=0)
    """Step of the dual ascent on the multipliers of `limits`, per unit of excess."""
    checkpoint_steps: int = Field(5, ge=1)
    """Steps between two checkpoints: what a killed training loses at most."""
    min_prompts: int = Field(32, ge=1)
    """Distinct recent prompts needed to train; fewer: the job is skipped and says so."""
    max_prompts: int = Field(4096, ge=1)
    """Most recent distinct prompts considered."""
    held_out_share: float = Field(0.25, gt=0, lt=1)
    """Share of prompts (by a stable hash of their text) never trained on and used by the gate."""
    prompt_file: str = ""
    """JSONL file of prompts beside the logged ones: `prompt` (or `messages`) a line, `answer` and `schema` for rewards
    that verify. Empty: logged prompts alone."""
    logged_answers: int = Field(0, ge=0)
    """Of each group at most so many answers are taken from the log instead of drawn: those whose probabilities were
    logged, drawn from the whole vocabulary under the same base, tokenizer and template. They get truncated importance
    weights."""
    new_prompts: int = Field(0, ge=0)
    """Train again against the same reward model once so many interactions came after the last training; 0: never."""
    new_labels: int = Field(0, ge=0)
    """Train again against the same reward model once so many labels became final after the last one; 0: never."""
    retrain_from_base_every: int = Field(8, ge=0)
    """After so many promoted updates on top of one another the next one begins at the base again; 0: never."""
    retrain_kl_to_base: float = Field(0.45, gt=0)
    """Nats a token between base and champion, as the champion's gate measured them, from which the next update begins
    at the base again. Below `gate.kl_to_base`, or the gate would have to refuse first."""
    seed: int = 0
    rewards: PolicyRewardsSettings = PolicyRewardsSettings()
    candidates: CandidateSettings = CandidateSettings()
    gate: GateSettings = GateSettings()
