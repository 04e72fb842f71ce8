"""Groups of answers to prompts, as tensors: what a step learns from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infra.models.kv_cache import left_padded, right_padded
from infra.models.loading import LoadedModel, decoder_and_head
from infra.models.logprobs import sampled_logprobs as logprobs_at
from infra.models.prefix import completion_hidden, completion_states
from policy_update.prompts import Conversation


@dataclass(frozen=True)
class Rollout:
    """P conversations with G answers each, N = P * G rows, the answers of a conversation adjacent.

    `prompt_ids`, `prompt_mask` (P, L) left-padded; `ids`, `mask` (N, T) right-padded, the end token included;
    `sampler_logprobs` (N, T) nats, as drawn; `owner` (N,) numbers each row's conversation.
    """

    conversations: tuple[Conversation, ...]
    prompt_ids: Tensor
    prompt_mask: Tensor
    owner: Tensor
    ids: Tensor
    mask: Tensor
    sampler_logprobs: Tensor
    texts: tuple[str, ...]

    @property
    def group_size(self) -> int:
        return len(self.ids) // len(self.conversations)

    def micro_batches(self, prompts: int) -> Iterator[slice]:
        """Row slices that hold whole groups of at most `prompts` conversations."""
        step = prompts * self.group_size
        return (slice(start, min(start + step, len(self.ids))) for start in range(0, len(self.ids), step))


def build_rollout(
    loaded: LoadedModel,
    conversations: Sequence[Conversation],
    prompt_rows: Sequence[Sequence[int]],
    answers: Sequence[tuple[Sequence[int], Sequence[float]]],
) -> Rollout:
    """Tensors from sampled answers (`len(answers)` = P * G, group by group). An answer without tokens gets the end
    token, so that every row has something to learn from."""
    group = len(answers) // len(conversations)
    rows = [list(tokens) or [loaded.end_ids[0]] for tokens, _ in answers]
    ids, mask = right_padded(rows, loaded.pad_id, loaded.device)
    drawn = torch.zeros(ids.shape)
    for index, (_, logprobs) in enumerate(answers):
        drawn[index, : len(logprobs)] = torch.tensor(list(logprobs))
    prompt_ids, prompt_mask = left_padded([list(row) for row in prompt_rows], loaded.pad_id, loaded.device)
    texts = [loaded.tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]
    owner = torch.arange(len(conversations)).repeat_interleave(group)
    device = loaded.device
    return Rollout(
        tuple(conversations), prompt_ids, prompt_mask, owner.to(device), ids, mask, drawn.to(device), tuple(texts)
    )


def sampled_logprobs(model: Any, rollout: Rollout, rows: slice, temperature: float) -> Tensor:
    """Log-probabilities (n, T) of the rollout's tokens in `rows` under `model` tempered by `temperature`; 0 at padding.

    `model` is a causal language model or its (decoder, head) pair. Each prompt is computed once. Differentiable.
    """
    decoder, head = model if isinstance(model, tuple) else decoder_and_head(model)
    owner = rollout.owner[rows]
    first, last = int(owner.min()), int(owner.max()) + 1
    ids, mask = rollout.ids[rows], rollout.mask[rows]
    states = completion_states(
        decoder, rollout.prompt_ids[first:last], rollout.prompt_mask[first:last], owner - first, ids, mask
    )
    keep = mask.bool()
    flat = logprobs_at(states, head, ids[keep], temperature)
    return torch.zeros(mask.shape, device=flat.device).masked_scatter(keep, flat)


def masked_logprobs(hidden: Tensor, head: Tensor, ids: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Hidden states (n, T, H) -> log-probabilities (n, T) of `ids`, 0 at padding; only real tokens reach the head."""
    keep = mask.bool()
    flat = logprobs_at(hidden[keep], head, ids[keep], temperature)
    return torch.zeros(mask.shape, device=flat.device).masked_scatter(keep, flat)


def pointwise_information(
    base: LoadedModel, rollout: Rollout, generic_prompt: Sequence[int], conditional: Tensor
) -> Tensor:
    """Relevance (N,): mean over tokens of log p(token | prompt) - log p(token | generic prompt), nats, under the base.

    `conditional` (N, T) are the log-probabilities given the real prompts at temperature 1.
    """
    decoder, head = decoder_and_head(base.model)
    prompt_ids, prompt_mask = left_padded([list(generic_prompt)], base.pad_id, base.device)
    with torch.no_grad():
        hidden, _ = completion_hidden(
            decoder,
            prompt_ids,
            prompt_mask,
            torch.zeros_like(rollout.owner),
            rollout.ids,
            rollout.mask,
        )
        unconditional = masked_logprobs(hidden, head, rollout.ids, rollout.mask, 1.0)
    gap = (conditional - unconditional) * rollout.mask
    return gap.sum(1) / rollout.mask.sum(1).clamp_min(1)
