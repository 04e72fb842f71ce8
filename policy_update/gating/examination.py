"""The held-out examination: champion and candidate answer the same prompts, and are scored as in training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from infra.settings.policy_gate import GateSettings
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.algebra.regularizers import k3
from policy_update.faces import Models
from policy_update.gating.capability import Abilities, answer_suite, suite
from policy_update.gating.gate import Evidence, judge, repetition
from policy_update.gating.logged import LoggedAnswer, estimate
from policy_update.gating.samples import Check, Divergence, Sampled, Verdict
from policy_update.objectives import Rewards
from policy_update.prompts import Conversation
from policy_update.rollout import Rollout, sampled_logprobs

CHUNK_ROWS = 48
"""Answers drawn and scored at once, about: a step of few rows costs nearly as much as one of many."""
Sample = Callable[[Any, Sequence[Conversation], int, int], Rollout]


@dataclass(frozen=True)
class Examined:
    """The verdict, and the answers both gave to the same prompts, which it rests on."""

    verdict: Verdict
    candidate: Sampled
    champion: Sampled
    evidence: Evidence | None = None


def examine(
    models: Models,
    settings: PolicyUpdateSettings,
    weights: dict[str, float],
    held_out: Sequence[Conversation],
    sample: Sample,
    reward: Callable[[Rollout], Rewards],
    on_progress: Callable[[float], None] = lambda fraction: None,
    *,
    logged: Sequence[LoggedAnswer] = (),
) -> Examined:
    """Answer `held_out` with candidate (`models.sampler`) and champion (`models.reference`), then judge.

    `sample(model, conversations, answers each, seed)` draws; `reward` scores, guardrail heads included; `logged` are
    answers people reacted to, for advice from them.
    """
    conversations = list(held_out)[: settings.gate.prompts]
    size = max(1, CHUNK_ROWS // settings.gate.answers_per_prompt)
    chunks = [conversations[i : i + size] for i in range(0, len(conversations), size)]
    candidate, champion, to_champion, to_base = [], [], [], []
    for index, chunk in enumerate(chunks):
        each, seed = settings.gate.answers_per_prompt, settings.seed * 7919 + index
        ours, theirs = sample(models.sampler, chunk, each, seed), sample(models.reference, chunk, each, seed)
        candidate.append((ours, reward(ours)))
        champion.append((theirs, reward(theirs)))
        to_champion.append(divergence(models.sampler, models.reference, ours, settings.temperature))
        same = models.reference is models.base.model
        to_base.append(
            to_champion[-1] if same else divergence(models.sampler, models.base.model, ours, settings.temperature)
        )
        on_progress((index + 1) / len(chunks))
    evidence = Evidence(
        collect(candidate),
        collect(champion),
        weights,
        Divergence(_mean(to_champion), _mean(to_base)),
        _abilities(models, settings.gate),
        _advice(models, settings, logged, sample, reward),
    )
    return Examined(judge(evidence, settings.gate), evidence.candidate, evidence.champion, evidence)


@torch.no_grad()
def divergence(policy: Any, reference: Any, rollout: Rollout, temperature: float) -> tuple[float, float]:
    """(KL(policy || reference) in nats a token by k3 on the policy's own answers, number of tokens)."""
    ours = sampled_logprobs(policy, rollout, slice(None), temperature)
    theirs = ours if reference is policy else sampled_logprobs(reference, rollout, slice(None), temperature)
    tokens = float(rollout.mask.sum())
    return float((k3(ours, theirs) * rollout.mask).sum()) / max(tokens, 1.0), tokens


def collect(parts: Sequence[tuple[Rollout, Rewards]]) -> Sampled:
    """All chunks as one, prompts numbered through."""
    prompt, offset, questions = [], 0, []
    for rollout, _ in parts:
        owner = rollout.owner.cpu().numpy()
        prompt.append(owner + offset)
        offset += len(rollout.conversations)
        asked = [_question(conversation) for conversation in rollout.conversations]
        questions += [asked[number] for number in owner]
    names = parts[0][1].names
    rows = [
        rollout.ids[i, : int(rollout.mask[i].sum())].tolist() for rollout, _ in parts for i in range(len(rollout.ids))
    ]
    return Sampled(
        prompt=np.concatenate(prompt),
        rewards={name: np.concatenate([rewards.column(name) for _, rewards in parts]) for name in names},
        length=np.array([float(len(row)) for row in rows]),
        repetition=np.array([repetition(row) for row in rows]),
        texts=tuple(text for rollout, _ in parts for text in rollout.texts),
        questions=tuple(questions),
    )


def _question(conversation: Conversation) -> str:
    return next((message.content for message in reversed(conversation) if message.role == "user"), "")


def _mean(measured: Sequence[tuple[float, float]]) -> float:
    return float(np.average([kl for kl, _ in measured], weights=[tokens for _, tokens in measured]))


def _abilities(models: Models, settings: GateSettings) -> Abilities | None:
    if not settings.capability:
        return None
    items = suite()
    ours, base = (answer_suite(models.base, model, items) for model in (models.sampler, models.base.model))
    return Abilities(tuple(item.kind for item in items), ours, base)


def _advice(
    models: Models,
    settings: PolicyUpdateSettings,
    logged: Sequence[LoggedAnswer],
    sample: Sample,
    reward: Callable[[Rollout], Rewards],
) -> tuple[Check, ...]:
    return estimate(models.base, models.sampler, logged, settings, sample, reward) if logged else ()
