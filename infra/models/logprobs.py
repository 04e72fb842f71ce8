"""Log-probabilities of given completions, with or without gradients, and never the logits of a whole batch.

The output layer of a small model is a third of its arithmetic and most of its memory: it is applied at completion
positions only, in two dimensions and in chunks, fused with the log-softmax at the token that was sampled.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from infra.models.kv_cache import right_padded
from infra.models.loading import LoadedModel, decoder_and_head

CHUNK = 256
"""Rows of logits alive at once on a CPU: enough for the product with the output matrix to be a fast one."""
CHUNK_ACCELERATOR = 2048
SOFTMAX_ROWS = 8
"""Rows whose softmax is alive at once on a CPU, in fp32: few enough to stay in its cache, and in memory that is not
asked of the system, and given back to it, for each chunk anew."""


class SampledLogProb(torch.autograd.Function):
    """log softmax(h W^T / T)[y] by row, and the entropy of that distribution; the logits are never kept.

    d log p / d h = (W[y] - p W) / T and d H / d h = -(p (log p + H)) W / T are computed in the forward pass while p is
    at hand, so the backward pass is elementwise. W gets no gradient: it is frozen under LoRA.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float, entropies: str
    ) -> tuple[Tensor, Tensor]:
        size = CHUNK if hidden.device.type == "cpu" else CHUNK_ACCELERATOR
        parts: list[tuple[Tensor, ...]] = []
        for h, y in zip(torch.split(hidden, size), torch.split(tokens, size), strict=True):
            logits = h @ weight.t()
            bent = torch.empty_like(logits) if hidden.requires_grad and entropies == "gradient" else None
            found = list(_told(logits, y, temperature, bool(entropies), hidden.requires_grad, bent))
            if hidden.requires_grad:  # then the logits have become p
                found.append((weight[y] - logits @ weight).div_(temperature))
                if bent is not None:
                    found.append((bent @ weight).div_(-temperature))
            parts.append(tuple(found))
        values, entropy, *jacobians = (torch.cat(column) for column in zip(*parts, strict=True))
        ctx.save_for_backward(*jacobians)
        if entropies != "gradient":
            ctx.mark_non_differentiable(entropy)
        return values, entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        jacobian, *bent = ctx.saved_tensors
        result = grads[0][:, None].to(jacobian.dtype) * jacobian
        if bent:
            result = result + grads[1][:, None].to(jacobian.dtype) * bent[0]
        return result, None, None, None, None


def _told(
    logits: Tensor, tokens: Tensor, temperature: float, entropies: bool, overwrite: bool, bent: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(log p at `tokens` [M], entropies [M], or [0] where none are wanted) of p = softmax(logits / T). `overwrite`
    leaves p in place of the logits; `bent` becomes p (log p + H)."""
    values, found = [], []
    for rows in _blocks(logits):
        own = logits[rows]
        p, normaliser = _softmax(own, temperature)
        values.append(own.gather(1, tokens[rows, None]).float().div_(temperature).sub_(normaliser).squeeze(1))
        if entropies:
            log_p = (own.float() / temperature).sub_(normaliser)
            entropy = (p * log_p).sum(-1).neg_()
            found.append(entropy)
            if bent is not None:
                bent[rows] = log_p.add_(entropy[:, None]).mul_(p)
        if overwrite:
            own.copy_(p)
    return torch.cat(values), torch.cat(found) if found else values[0].new_zeros(0)


def _blocks(logits: Tensor) -> list[slice]:
    """The rows whose softmax is made at once."""
    count = SOFTMAX_ROWS if logits.device.type == "cpu" else max(1, len(logits))
    return [slice(start, start + count) for start in range(0, max(1, len(logits)), count)]


def _softmax(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """softmax(logits / T) in fp32 and its log-normaliser [M, 1], from one pass: the largest entry's probability is
    never below 1 / V, so its logarithm is exact enough to give the normaliser."""
    highest, place = logits.max(-1, keepdim=True)
    p = logits.softmax(-1, dtype=torch.float32) if temperature == 1 else (logits.float() / temperature).softmax(-1)
    return p, highest.float().div_(temperature) - p.gather(1, place).log_()


def sampled_logprobs(hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(hidden weight^T / temperature) at `tokens`: [M], float32, nats.

    `hidden` [M, H] in the model's type, `weight` [V, H], `tokens` [M].
    """
    if hidden.shape[0] == 0:
        return hidden.new_zeros(0, dtype=torch.float32)
    return SampledLogProb.apply(hidden, weight, tokens, temperature, "")[0]  # type: ignore[no-any-return,no-untyped-call]


@torch.no_grad()
def logprobs_at(hidden: Tensor, weight: Tensor, tokens: Tensor, temperatures: Sequence[float]) -> list[Tensor]:
    """`sampled_logprobs` at each of `temperatures`, from one product with the output matrix; no gradients."""
    size = CHUNK if hidden.device.type == "cpu" else CHUNK_ACCELERATOR
    parts = []
    for h, y in zip(torch.split(hidden, size), torch.split(tokens, size), strict=True):
        logits = h @ weight.t()
        parts.append([_told(logits, y, t, False, False, None)[0] for t in temperatures])
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def logprobs_and_entropies(
    hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float = 1.0, gradient: bool = False
) -> tuple[Tensor, Tensor]:
    """`sampled_logprobs` and the entropy -sum p log p of every distribution, [M] each, nats, in the same pass.

    `gradient`: the entropies are differentiable too, for one more product with the output matrix.
    """
    if hidden.shape[0] == 0:
        empty = hidden.new_zeros(0, dtype=torch.float32)
        return empty, empty
    mode = "gradient" if gradient else "values"
    values, entropies = SampledLogProb.apply(hidden, weight, tokens, temperature, mode)  # type: ignore[no-untyped-call]
    return values, entropies


def completion_logprobs(model: Any, ids: Tensor, real: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probabilities [N, L - 1] of `ids[:, 1:]` where `real[:, 1:]` is true, 0 elsewhere; differentiable.

    `ids` [N, L] right-padded prompts with their completions; `real` [N, L] true at completion tokens. Padding on the
    right is never seen by a token before it, so no attention mask is needed.
    """
    decoder, weight = decoder_and_head(model)
    hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = real[:, 1:].bool()
    flat = sampled_logprobs(hidden[wanted], weight, ids[:, 1:][wanted], temperature)
    return torch.zeros(wanted.shape, dtype=flat.dtype, device=flat.device).masked_scatter(wanted, flat)


@torch.inference_mode()
def sequence_logprobs(
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    model: Any = None,
    temperature: float = 1.0,
    micro_batch: int = 16,
) -> list[list[float]]:
    """Log-probabilities (nats) of every completion token given its prompt; no gradients.

    `temperature` 1 gives what `Answer.logprobs_raw` holds. Raises ValueError for an empty prompt.
    """
    if any(len(prompt) == 0 for prompt in prompts):
        raise ValueError("a completion has no log-probability without at least one prompt token")
    model = loaded.model if model is None else model
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(completions[i]))  # like lengths together
    results: list[list[float]] = [[] for _ in prompts]
    for start in range(0, len(order), micro_batch):
        chosen = order[start : start + micro_batch]
        ids, real = right_padded([[*prompts[i], *completions[i]] for i in chosen], loaded.pad_id, loaded.device)
        for row, i in enumerate(chosen):
            real[row, : len(prompts[i])] = 0
        values = completion_logprobs(model, ids, real, temperature)
        for row, i in enumerate(chosen):
            begin = len(prompts[i]) - 1
            results[i] = values[row, begin : begin + len(completions[i])].tolist()
    return results
