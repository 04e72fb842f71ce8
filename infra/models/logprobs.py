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

CHUNK = 512
"""Rows of logits alive at once."""


class SampledLogProb(torch.autograd.Function):
    """log softmax(h W^T / T)[y] by row; the logits are never kept.

    d log p / d h = (W[y] - p W) / T is computed in the forward pass while p is at hand, so the backward pass is one
    elementwise product. W gets no gradient: it is frozen under LoRA.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float) -> Tensor:
        needed = hidden.requires_grad
        values, jacobian = [], []
        for h, y in zip(torch.split(hidden, CHUNK), torch.split(tokens, CHUNK), strict=True):
            logits = (h @ weight.t()).float().div_(temperature)
            normaliser = logits.logsumexp(-1, keepdim=True)
            values.append((logits.gather(1, y[:, None]) - normaliser).squeeze(1))
            if needed:
                p = logits.sub_(normaliser).exp_().to(weight.dtype)
                jacobian.append((weight[y] - p @ weight) / temperature)
        if needed:
            ctx.save_for_backward(torch.cat(jacobian))
        return torch.cat(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (jacobian,) = ctx.saved_tensors
        return grads[0][:, None].to(jacobian.dtype) * jacobian, None, None, None


def sampled_logprobs(hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(hidden weight^T / temperature) at `tokens`: [M], float32, nats.

    `hidden` [M, H] in the model's type, `weight` [V, H], `tokens` [M].
    """
    if hidden.shape[0] == 0:
        return hidden.new_zeros(0, dtype=torch.float32)
    return SampledLogProb.apply(hidden, weight, tokens, temperature)  # type: ignore[no-any-return,no-untyped-call]


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
