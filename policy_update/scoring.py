"""From a rollout to its rewards, and from conversations to a rollout: the two things a trainer is given."""

from collections.abc import Mapping, Sequence
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
from infra.settings.policy_rewards import PolicyRewardsSettings
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.gathering import Sampling
from policy_update.objectives import COHERENCE, GENERIC_PROMPT, MEANING, RELEVANCE, Rewards, Scorer, assemble
from policy_update.prompts import Conversation, Reference
from policy_update.rewards import registry
from policy_update.rewards.batch import AnswerBatch, InvalidReward
from policy_update.rewards.self_certainty import self_certainty
from policy_update.rollout import Rollout, build_rollout, masked_logprobs_at, pointwise_information

GUARDRAIL_HEADS = ("harm",)


class RewardSource:
    """Scores rollouts with a reward model, with relevance under the base model, and with the terms of the settings.

    `references`: what answers to a conversation may be checked by. Raises InvalidReward for a term that cannot be used.
    """

    def __init__(
        self,
        base: LoadedModel,
        reward_model: Scorer,
        weights: Mapping[str, float],
        temperature: float,
        settings: PolicyRewardsSettings | None = None,
        references: Mapping[Conversation, Reference] | None = None,
    ) -> None:
        self._base, self._reward_model, self._temperature = base, reward_model, temperature
        self._settings, self._references = settings or PolicyRewardsSettings(), references or {}
        taken = sorted(set(self._settings.terms) & {*MEANING, *reward_model.objectives})
        if taken:
            raise InvalidReward(
                f"policy_update.rewards.terms.{taken[0]} has the name of an objective there is: call it otherwise",
                field=f"policy_update.rewards.terms.{taken[0]}",
            )
        self._terms = registry.build(self._settings, weights)
        self._names = list(weights)
        self._guarded = self._names + [
            head for head in GUARDRAIL_HEADS if head in reward_model.objectives and head not in self._names
        ]
        self._guarded += [name for name in MEANING if name not in self._guarded]
        self._generic = render_chat(base, [Message("user", GENERIC_PROMPT)])

    def training_rewards(self, rollout: Rollout) -> Rewards:
        """The weighted objectives of each answer, heads lowered by `uncertainty_penalty` of their standard errors."""
        return self._score(rollout, self._names, self._settings.uncertainty_penalty, silent_is_zero=False)

    def guarded_rewards(self, rollout: Rollout) -> Rewards:
        """The weighted objectives and the guardrails, which the gate looks at as well; heads as they are.

        A prompt that gives a verifier nothing to check by counts 0 for whoever answers it: the gate takes a score that
        is missing for one that failed, and refuses.
        """
        return self._score(rollout, self._guarded, 0.0, silent_is_zero=True)

    @torch.no_grad()
    def _score(self, rollout: Rollout, names: Sequence[str], penalty: float, *, silent_is_zero: bool) -> Rewards:
        """One pass of the base gives the reward model's features, both likelihoods and the reference."""
        recipe = self._reward_model.recipe
        layers = recipe.layers if recipe.reads_base else ()
        decoder, head = decoder_and_head(self._base.model)
        hidden, taps = completion_hidden(
            decoder,
            rollout.prompt_ids,
            rollout.prompt_mask,
            rollout.owner,
            rollout.ids,
            rollout.mask,
            [layer if layer >= 0 else layer + len(decoder.layers) + 1 for layer in layers],
        )
        scores = self._opinions(rollout, taps)
        conditional, tempered = masked_logprobs_at(hidden, head, rollout.ids, rollout.mask, (1.0, self._temperature))
        given = self._meaning(rollout, conditional, names) | self._checked(rollout, silent_is_zero)
        rewards = assemble(
            names,
            self._reward_model.objectives,
            np.asarray(scores.values),
            np.asarray(scores.uncertainty),
            given,
            penalty=penalty,
            utility_bound=self._settings.utility_bound,
        )
        features = {}
        if self._settings.self_certainty:
            features["self_certainty"] = self_certainty(hidden, head, rollout.ids, conditional, rollout.mask)
        return replace(rewards, base_logprobs=tempered, features=features)

    def _opinions(self, rollout: Rollout, taps: Sequence[torch.Tensor]) -> Any:
        """The reward model's Scores, from the states at hand where it reads those, else from texts by a pass of its own
        (a fine-tuned backbone, an encoder)."""
        recipe = self._reward_model.recipe
        if not recipe.reads_base:
            asked = [rollout.conversations[owner] for owner in rollout.owner.tolist()]
            return self._reward_model.score(self._base, asked, rollout.texts)
        mask = self._text_mask(rollout)
        pooled = torch.cat([pool(states, mask, recipe.opening_tokens) for states in taps], 1)
        return self._reward_model.score_hidden(pooled.cpu())

    def _meaning(self, rollout: Rollout, conditional: torch.Tensor, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Likelihood and relevance of each answer under the base, clipped; relevance only where it is asked for."""
        meaning = {COHERENCE: conditional.sum(1) / rollout.mask.sum(1).clamp_min(1)}
        if RELEVANCE in names:
            meaning[RELEVANCE] = pointwise_information(self._base, rollout, self._generic, conditional)
        bound = self._settings.meaning_bound
        return {name: values.clamp(-bound, bound) for name, values in meaning.items()}

    def _checked(self, rollout: Rollout, silent_is_zero: bool) -> dict[str, torch.Tensor]:
        """The terms of the settings, bounded, by name."""
        if not self._terms:
            return {}
        asked = [rollout.conversations[owner] for owner in rollout.owner.tolist()]
        batch = AnswerBatch(
            conversations=asked,
            texts=rollout.texts,
            tokens=rollout.mask.sum(1).cpu().numpy().astype(np.int64),
            truncated=(~self._ends(rollout).any(1)).cpu().numpy(),
            references=[self._references.get(conversation) for conversation in asked],
        )
        found = {}
        for term in self._terms:
            values = term(batch)
            if silent_is_zero:
                values = np.where(term.silent(batch), 0.0, values)
            found[term.name] = torch.from_numpy(values)
        return found

    def _ends(self, rollout: Rollout) -> torch.Tensor:
        """(N, T): real tokens that end an answer."""
        ends = torch.isin(rollout.ids, torch.tensor(self._base.end_ids, device=rollout.ids.device))
        return ends & rollout.mask.bool()

    def _text_mask(self, rollout: Rollout) -> torch.Tensor:
        """The answer's words alone: the reward model was trained on text, which has no end token."""
        words = rollout.mask * ~self._ends(rollout)
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
