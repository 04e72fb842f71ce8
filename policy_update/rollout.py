"""Groups of answers to prompts, as tensors: what a step learns from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infra.models.kv_cache import left_padded, right_padded
from infra.models.loading import LoadedModel, decoder_and_head
from infra.models.logprobs import logprobs_and_entropies, logprobs_at
from infra.models.logprobs import sampled_logprobs as token_logprobs
from infra.models.packing import budgeted
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
    logged: Tensor
    """(N,) true where the answer was not drawn now but taken from the log, `sampler_logprobs` being its behaviour's."""

    @property
    def group_size(self) -> int:
        return len(self.ids) // len(self.conversations)

    def micro_batches(self, tokens: int, prompts: int = 1 << 30) -> Iterator[slice]:
        """Row slices of about `tokens` tokens (each prompt counted once) and at most `prompts` conversations. A group
        that is larger by itself is cut into parts of like size."""
        lengths, prompt_lengths = self.mask.sum(1).tolist(), self.prompt_mask.sum(1).tolist()
        group = self.group_size
        sizes = [prompt_lengths[p] + sum(lengths[p * group : (p + 1) * group]) for p in range(len(prompt_lengths))]
        for batch in budgeted(sizes, tokens):
            for start in range(0, len(batch), prompts):
                chosen = batch[start : start + prompts]
                first, last = chosen[0] * group, (chosen[-1] + 1) * group
                answers = sum(lengths[first:last])
                parts = -(-answers // max(1, tokens - prompt_lengths[chosen[0]])) if len(chosen) == 1 else 1
                rows = -(-group // min(parts, group)) if len(chosen) == 1 else last - first
                yield from (slice(row, min(row + rows, last)) for row in range(first, last, rows))

    def groups(self, kept: Sequence[int]) -> "Rollout":
        """The same for some of the conversations, in the order of `kept`."""
        group = self.group_size
        device = self.ids.device
        rows = torch.tensor([p * group + g for p in kept for g in range(group)], dtype=torch.long, device=device)
        chosen = torch.tensor(kept, dtype=torch.long, device=device)
        return Rollout(
            tuple(self.conversations[p] for p in kept),
            self.prompt_ids[chosen],
            self.prompt_mask[chosen],
            torch.arange(len(kept), device=device).repeat_interleave(group),
            self.ids[rows],
            self.mask[rows],
            self.sampler_logprobs[rows],
            tuple(self.texts[int(row)] for row in rows),
            self.logged[rows],
        )


def join_rollouts(parts: Sequence[Rollout]) -> Rollout:
    """Several rollouts of one group size below one another."""
    if len(parts) == 1:
        return parts[0]

    def left(tensors: Sequence[Tensor]) -> Tensor:
        longest = max(t.shape[1] for t in tensors)
        return torch.cat([torch.nn.functional.pad(t, (longest - t.shape[1], 0)) for t in tensors])

    def right(tensors: Sequence[Tensor]) -> Tensor:
        longest = max(t.shape[1] for t in tensors)
        return torch.cat([torch.nn.functional.pad(t, (0, longest - t.shape[1])) for t in tensors])

    count = sum(len(part.conversations) for part in parts)
    return Rollout(
        tuple(conversation for part in parts for conversation in part.conversations),
        left([part.prompt_ids for part in parts]),
        left([part.prompt_mask for part in parts]),
        torch.arange(count, device=parts[0].ids.device).repeat_interleave(parts[0].group_size),
        right([part.ids for part in parts]),
        right([part.mask for part in parts]),
        right([part.sampler_logprobs for part in parts]),
        tuple(text for part in parts for text in part.texts),
        torch.cat([part.logged for part in parts]),
    )


def build_rollout(
    loaded: LoadedModel,
    conversations: Sequence[Conversation],
    prompt_rows: Sequence[Sequence[int]],
    answers: Sequence[tuple[Sequence[int], Sequence[float]]],
    logged: Sequence[bool] | None = None,
) -> Rollout:
    """Tensors from answers (`len(answers)` = P * G, group by group), each token ids and the log-probabilities they were
    drawn with. An answer without tokens gets the end token, so that every row has something to learn from.

    `logged` marks answers of the log, drawn by other weights: their log-probabilities must be those of the behaviour as
    sampled, one a token. Raises ValueError where they are not there.
    """
    for index, (tokens, logprobs) in enumerate(answers):
        if logged is not None and logged[index] and (not tokens or len(tokens) != len(logprobs)):
            raise ValueError(
                f"logged answer {index} has {len(tokens)} tokens and {len(logprobs)} behaviour log-probabilities: "
                "without one for each token it cannot be weighted; leave it out"
            )
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
    marks = torch.tensor([False] * len(rows) if logged is None else list(logged), device=device)
    return Rollout(
        tuple(conversations),
        prompt_ids,
        prompt_mask,
        owner.to(device),
        ids,
        mask,
        drawn.to(device),
        tuple(texts),
        marks,
    )


def sampled_logprobs(model: Any, rollout: Rollout, rows: slice, temperature: float) -> Tensor:
    """Log-probabilities (n, T) of the rollout's tokens in `rows` under `model` tempered by `temperature`; 0 at padding.

    `model` is a causal language model or its (decoder, head) pair. Each prompt is computed once. Differentiable.
    """
    states, head = predicting_states(model, rollout, rows)
    keep = rollout.mask[rows].bool()
    return _spread(token_logprobs(states, head, rollout.ids[rows][keep], temperature), keep)


@torch.no_grad()
def all_logprobs(model: Any, rollout: Rollout, temperature: float, tokens: int = 4096) -> Tensor:
    """`sampled_logprobs` (N, T) of the whole rollout without gradients, about `tokens` tokens at a time."""
    batches = rollout.micro_batches(tokens)
    return torch.cat([sampled_logprobs(model, rollout, rows, temperature) for rows in batches])


def predicting_states(model: Any, rollout: Rollout, rows: slice) -> tuple[Tensor, Tensor]:
    """(hidden states [tokens, H] that predict the real tokens of `rows`, output matrix). `model` as above."""
    decoder, head = model if isinstance(model, tuple) else decoder_and_head(model)
    owner = rollout.owner[rows]
    first, last = int(owner.min()), int(owner.max()) + 1
    prompts = slice(first, last)
    states = completion_states(
        decoder,
        rollout.prompt_ids[prompts],
        rollout.prompt_mask[prompts],
        owner - first,
        rollout.ids[rows],
        rollout.mask[rows],
    )
    return states, head


@dataclass(frozen=True)
class Pass:
    """What a pass of the policy over some rows gives, (n, T) each, 0 at padding: log-probabilities, and where asked for
    entropies (nats) and a critic's values."""

    logprobs: Tensor
    entropies: Tensor | None = None
    values: Tensor | None = None


def policy_pass(
    model: Any,
    rollout: Rollout,
    rows: slice,
    temperature: float,
    *,
    entropies: bool = False,
    entropy_gradient: bool = False,
    critic: Callable[[Tensor], Tensor] | None = None,
) -> Pass:
    """One pass over `rows`. `critic` maps hidden states [tokens, H], without gradient to the policy, to values."""
    states, head = predicting_states(model, rollout, rows)
    keep = rollout.mask[rows].bool()
    drawn = rollout.ids[rows][keep]
    values = None if critic is None else _spread(critic(states.detach()), keep)
    if not entropies:
        return Pass(_spread(token_logprobs(states, head, drawn, temperature), keep), None, values)
    logprobs, found = logprobs_and_entropies(states, head, drawn, temperature, entropy_gradient)
    return Pass(_spread(logprobs, keep), _spread(found, keep), values)


def _spread(flat: Tensor, keep: Tensor) -> Tensor:
    return torch.zeros(keep.shape, device=flat.device, dtype=flat.dtype).masked_scatter(keep, flat)


def masked_logprobs(hidden: Tensor, head: Tensor, ids: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Hidden states (n, T, H) -> log-probabilities (n, T) of `ids`, 0 at padding; only real tokens reach the head."""
    keep = mask.bool()
    flat = token_logprobs(hidden[keep], head, ids[keep], temperature)
    return _spread(flat, keep)


def masked_logprobs_at(
    hidden: Tensor, head: Tensor, ids: Tensor, mask: Tensor, temperatures: Sequence[float]
) -> list[Tensor]:
    """`masked_logprobs` at each of `temperatures`, from one product with the head; no gradients."""
    keep = mask.bool()
    return [_spread(flat, keep) for flat in logprobs_at(hidden[keep], head, ids[keep], temperatures)]


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
