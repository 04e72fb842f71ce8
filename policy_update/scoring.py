"""From a rollout to its rewards, and from conversations to a rollout: the two things a trainer is given."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from infra.contracts import Message, SamplingParameters
from infra.models.chat import render_chat
from infra.models.features import pool
from infra.models.generate import generate
from infra.models.loading import LoadedModel, decoder_and_head
from infra.models.port import GenerationRequest
from infra.models.prefix import completion_hidden
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.gathering import Sampling
from policy_update.objectives import COHERENCE, GENERIC_PROMPT, MEANING, RELEVANCE, Rewards, Scorer, assemble
from policy_update.prompts import Conversation
from policy_update.rollout import Rollout, build_rollout, masked_logprobs, pointwise_information

GUARDRAIL_HEADS = ("harm",)


class RewardSource:
    """Scores rollouts with a reward model and with relevance under the base model."""

    def __init__(self, base: LoadedModel, reward_model: Scorer, weights: dict[str, float], temperature: float) -> None:
        self._base, self._reward_model, self._temperature = base, reward_model, temperature
        self._names = list(weights)
        self._guarded = self._names + [
            head for head in GUARDRAIL_HEADS if head in reward_model.objectives and head not in self._names
        ]
        self._guarded += [name for name in MEANING if name not in self._guarded]
        self._generic = render_chat(base, [Message("user", GENERIC_PROMPT)])

    def training_rewards(self, rollout: Rollout) -> Rewards:
        """The weighted objectives of each answer."""
        return self._score(rollout, self._names)

    def guarded_rewards(self, rollout: Rollout) -> Rewards:
        """The weighted objectives and the guardrails, which the gate looks at as well."""
        return self._score(rollout, self._guarded)

    @torch.no_grad()
    def _score(self, rollout: Rollout, names: Sequence[str]) -> Rewards:
        """One pass of the base gives the reward model's features, both likelihoods and the reference."""
        recipe = self._reward_model.recipe
        decoder, head = decoder_and_head(self._base.model)
        hidden, taps = completion_hidden(
            decoder,
            rollout.prompt_ids,
            rollout.prompt_mask,
            rollout.owner,
            rollout.ids,
            rollout.mask,
            [layer if layer >= 0 else layer + len(decoder.layers) + 1 for layer in recipe.layers],
        )
        mask = self._text_mask(rollout)
        pooled = torch.cat([pool(states, mask, recipe.opening_tokens) for states in taps], 1)
        scores = self._reward_model.score_hidden(pooled.cpu())
        conditional = masked_logprobs(hidden, head, rollout.ids, rollout.mask, 1.0)
        meaning = {COHERENCE: conditional.sum(1) / rollout.mask.sum(1).clamp_min(1)}
        if RELEVANCE in names:
            meaning[RELEVANCE] = pointwise_information(self._base, rollout, self._generic, conditional)
        rewards = assemble(
            names,
            self._reward_model.objectives,
            np.asarray(scores.values),
            np.asarray(scores.uncertainty),
            meaning,
        )
        tempered = masked_logprobs(hidden, head, rollout.ids, rollout.mask, self._temperature)
        return replace(rewards, base_logprobs=tempered)

    def _text_mask(self, rollout: Rollout) -> torch.Tensor:
        """The answer's words alone: the reward model was trained on text, which has no end token."""
        ends = torch.isin(rollout.ids, torch.tensor(self._base.end_ids, device=rollout.ids.device))
        words = rollout.mask * ~ends
        return torch.where(words.any(1, keepdim=True), words, rollout.mask)


def rollout_sampler(base: LoadedModel, settings: PolicyUpdateSettings, answers: int) -> Sampling:
    """A function (model, conversations, seed) -> Rollout with `answers` answers each, drawn as settings say; one greedy
    answer each with `greedy`. `first`: place of the first conversation among those of all processes, for its seeds.

    Nothing is truncated (top-p 1, top-k 0): a truncated sampler would bias the importance ratio.
    """

    def sample(
        model: Any, conversations: Sequence[Conversation], seed: int, *, first: int = 0, greedy: bool = False
    ) -> Rollout:
        rows = [render_chat(base, conversation) for conversation in conversations]
        each = 1 if greedy else answers
        requests = [
            GenerationRequest(
                prompt_token_ids=tuple(row),
                sampling=SamplingParameters(
                    temperature=0.0 if greedy else settings.temperature,
                    max_tokens=settings.max_new_tokens,
                    seed=(seed * 65_537 + number * each + index) % 2**31,
                ),
            )
            for number, row in enumerate(rows, first)
            for index in range(each)
        ]
        results = generate(base, requests, model=model)
        return build_rollout(base, conversations, rows, [(r.token_ids, r.logprobs_sampled) for r in results])

    return sample
