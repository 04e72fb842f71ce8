"""The held-out examination: champion and candidate answer the same prompts, and are scored as in training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.algebra.regularizers import k3
from policy_update.gate import Sampled, Verdict, judge, repetition
from policy_update.objectives import Rewards
from policy_update.prompts import Conversation
from policy_update.rollout import Rollout, sampled_logprobs
from policy_update.trainer import Models

CHUNK_PROMPTS = 8


@dataclass(frozen=True)
class Examined:
    """The verdict, and the answers both gave to the same prompts, which it rests on."""

    verdict: Verdict
    candidate: Sampled
    champion: Sampled


def examine(
    models: Models,
    settings: PolicyUpdateSettings,
    weights: dict[str, float],
    held_out: Sequence[Conversation],
    sample: Callable[[Any, Sequence[Conversation], int, int], Rollout],
    reward: Callable[[Rollout], Rewards],
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> Examined:
    """Answer `held_out` with candidate (`models.sampler`) and champion (`models.reference`), then judge.

    `sample(model, conversations, answers each, seed)` draws; `reward` scores, guardrail heads included.
    """
    conversations = list(held_out)[: settings.gate.prompts]
    chunks = [conversations[i : i + CHUNK_PROMPTS] for i in range(0, len(conversations), CHUNK_PROMPTS)]
    candidate, champion, to_champion, to_base = [], [], [], []
    for index, chunk in enumerate(chunks):
        each, seed = settings.gate.answers_per_prompt, settings.seed * 7919 + index
        ours, theirs = sample(models.sampler, chunk, each, seed), sample(models.reference, chunk, each, seed)
        candidate.append((ours, reward(ours)))
        champion.append((theirs, reward(theirs)))
        to_champion.append(divergence(models.sampler, models.reference, ours, settings.temperature))
        to_base.append(divergence(models.sampler, models.base.model, ours, settings.temperature))
        on_progress((index + 1) / len(chunks))
    tokens = np.array([count for _, count in to_champion])
    kl_champion = float(np.average([kl for kl, _ in to_champion], weights=tokens))
    kl_base = float(np.average([kl for kl, _ in to_base], weights=tokens))
    new, old = _collect(candidate), _collect(champion)
    return Examined(judge(new, old, weights, kl_champion, kl_base, settings.gate), new, old)


@torch.no_grad()
def divergence(policy: Any, reference: Any, rollout: Rollout, temperature: float) -> tuple[float, float]:
    """(KL(policy || reference) in nats a token by k3 on the policy's own answers, number of tokens)."""
    ours = sampled_logprobs(policy, rollout, slice(None), temperature)
    theirs = ours if reference is policy else sampled_logprobs(reference, rollout, slice(None), temperature)
    tokens = float(rollout.mask.sum())
    return float((k3(ours, theirs) * rollout.mask).sum()) / max(tokens, 1.0), tokens


def _collect(parts: Sequence[tuple[Rollout, Rewards]]) -> Sampled:
    prompt, offset = [], 0
    for rollout, _ in parts:
        prompt.append(rollout.owner.cpu().numpy() + offset)
        offset += len(rollout.conversations)
    names = parts[0][1].names
    rows = [
        rollout.ids[i, : int(rollout.mask[i].sum())].tolist() for rollout, _ in parts for i in range(len(rollout.ids))
    ]
    return Sampled(
        prompt=np.concatenate(prompt),
        rewards={name: np.concatenate([rewards.column(name) for _, rewards in parts]) for name in names},
        length=np.array([float(len(row)) for row in rows]),
        repetition=np.array([repetition(row) for row in rows]),
    )
