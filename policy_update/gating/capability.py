"""A fixed suite of small abilities: continuations by log-likelihood, the candidate against the base, item by item."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.statistics import clustered_difference
from policy_update.gating.deciding import shown
from policy_update.gating.samples import Check, FloatArray

if TYPE_CHECKING:
    from infra.models.loading import LoadedModel

_ITEMS_AT_ONCE = 16


@dataclass(frozen=True)
class Item:
    """A prompt and its continuations, the right one first."""

    kind: str
    prompt: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Abilities:
    """The suite answered by candidate and base, one entry an item: `candidate`, `base` (items,) the probability given
    to the right continuation among the listed ones; `kinds` names each item's kind."""

    kinds: tuple[str, ...]
    candidate: FloatArray
    base: FloatArray


@cache
def suite() -> tuple[Item, ...]:
    """The items of `data/capability.toml`."""
    read = files("policy_update.gating").joinpath("data/capability.toml").read_text("utf-8")
    return tuple(Item(one["kind"], one["prompt"], tuple(one["choices"])) for one in tomllib.loads(read)["items"])


def answer_suite(loaded: "LoadedModel", model: Any, items: Sequence[Item]) -> FloatArray:
    """P(right continuation | one of the listed), (items,): softmax over the choices of their mean log-probability a
    token under `model`, plain text without a chat template (as in lm-evaluation-harness, `acc_norm`)."""
    found = [_some(loaded, model, items[i : i + _ITEMS_AT_ONCE]) for i in range(0, len(items), _ITEMS_AT_ONCE)]
    return np.concatenate(found)


def _some(loaded: "LoadedModel", model: Any, items: Sequence[Item]) -> FloatArray:
    import torch

    from infra.models.kv_cache import left_padded, right_padded
    from infra.models.loading import decoder_and_head
    from infra.models.prefix import completion_hidden
    from policy_update.rollout import masked_logprobs

    def tokens(text: str) -> list[int]:
        return list(loaded.tokenizer(text, add_special_tokens=False).input_ids)

    prompts = [tokens(item.prompt) for item in items]
    endings = [tokens(choice) for item in items for choice in item.choices]
    owner = [number for number, item in enumerate(items) for _ in item.choices]
    prompt_ids, prompt_mask = left_padded(prompts, loaded.pad_id, loaded.device)
    ids, mask = right_padded(endings, loaded.pad_id, loaded.device)
    decoder, head = decoder_and_head(model)
    with torch.no_grad():
        rows = torch.tensor(owner, device=loaded.device)
        hidden, _ = completion_hidden(decoder, prompt_ids, prompt_mask, rows, ids, mask)
        mean = masked_logprobs(hidden, head, ids, mask, 1.0).sum(1) / mask.sum(1)
    scores, numbers = mean.double().cpu().numpy(), np.array(owner)
    right = []
    for number in range(len(items)):
        own = np.exp(scores[numbers == number] - scores[numbers == number].max())
        right.append(own[0] / own.sum())
    return np.array(right)


def capability(found: Abilities, margin: float, confidence: float) -> Check:
    """The candidate's mean may be below the base's by at most `margin`, by the lower end of the paired interval."""
    change = clustered_difference(found.candidate, found.base, np.arange(len(found.base)), confidence=confidence)
    passed = bool(np.isfinite(found.candidate).all() and np.isfinite(change.low) and change.low > -margin)
    was, now = float(found.base.mean()), float(found.candidate.mean())
    reason = (
        f"capability suite {'held' if passed else 'fell too far'}: {was:.3f} -> {now:.3f} given to the right "
        f"continuation of {len(found.base)} items, {shown(change)}, lower end must exceed {-margin:+.4f}"
    )
    if not passed:
        reason += f"; most lost: {_worst(found)}"
    return Check("capability", passed, change.mean, change.low, change.high, -margin, reason, "capability", was, now)


def _worst(found: Abilities) -> str:
    kinds = sorted(set(found.kinds))
    lost = {kind: float(np.mean((found.candidate - found.base)[[k == kind for k in found.kinds]])) for kind in kinds}
    kind = min(lost, key=lambda name: lost[name])
    return f"{kind} {lost[kind]:+.3f}"
