"""The sampling loop: each distinct prompt computed once, one cache made once, finished rows dropped.

Requests that share a prompt (a group of answers, `n` choices) share its computation. A seeded request has its own
stream of uniform numbers, one a token.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from infra.models.errors import PromptTooLong
from infra.models.kv_cache import additive_mask, causal_mask, left_padded, positions, with_room
from infra.models.lean.decoding import decode_step
from infra.models.lean.packed import linear, packed
from infra.models.lean.weights import lean_decoder, packed_decoder
from infra.models.loading import LoadedModel, decoder_and_head
from infra.models.port import GenerationRequest, GenerationResult, TopLogprobs
from infra.models.rows import AnswerRow, top_logprobs
from infra.models.sampling import Draw, controls_of, draw

PACKING_PAYS = 16
"""Most tokens of a row from which on a batch's weights are packed first: in fp32 that costs as much as some dozen steps
gain by it, however many rows they have; a row by itself gains nothing."""


@torch.inference_mode()
def generate(
    loaded: LoadedModel, requests: Sequence[GenerationRequest], *, model: Any = None
) -> list[GenerationResult]:
    """Answer all requests in one batch, in order. `model`: the model that computes instead of the bare base (a peft
    model, a merged copy); the requests' `adapter` is not looked at here. Raises PromptTooLong."""
    if not requests:
        return []
    check_lengths(loaded, requests)
    decoder, head = decoder_and_head(model if model is not None else loaded.model)
    prompts = list(dict.fromkeys(request.prompt_token_ids for request in requests))
    place_of = {prompt: place for place, prompt in enumerate(prompts)}
    owner = torch.tensor([place_of[request.prompt_token_ids] for request in requests], device=loaded.device)
    rows = [AnswerRow(request, loaded) for request in requests]
    _decode_all(loaded, decoder, head, [list(p) for p in prompts], owner, rows)
    return [row.result() for row in rows]


def _decode_all(
    loaded: LoadedModel, decoder: Any, head: Tensor, prompts: list[list[int]], owner: Tensor, rows: list[AnswerRow]
) -> None:
    longest = max(row.limit for row in rows)
    ids, mask = left_padded(prompts, loaded.pad_id, loaded.device)
    prefix = DynamicCache()
    hidden = _forward(decoder, ids, causal_mask(mask, ids.shape[1], loaded.dtype), positions(mask), prefix)[owner, -1]
    cache = with_room(prefix, owner, longest)
    seen, place = mask[owner], mask.sum(1)[owner]
    controls = controls_of([row.request.sampling for row in rows], loaded.device)
    uniforms = _uniforms(rows, longest)
    lean = lean_decoder(decoder)
    layout = None
    if lean is not None and len(rows) > 1 and longest >= PACKING_PAYS:
        lean, layout = packed_decoder(lean), packed(head)
    padded = bool((seen == 0).any())
    alive = list(range(len(rows)))
    for step in range(longest):
        logits = linear(hidden, head, None, layout)
        drawn = draw(logits, controls, uniforms[:, step])
        going = _take(rows, alive, drawn, top_logprobs(logits, [rows[row].request.top_logprobs for row in alive]))
        if not going or step == longest - 1:
            return
        token = drawn.token
        if len(going) < len(alive):
            kept = torch.tensor(going, device=loaded.device)
            alive, token, seen, place = [alive[i] for i in going], token[kept], seen[kept], place[kept]
            controls, uniforms = controls.rows(kept), uniforms[going]
            for layer in cache.layers:
                layer.keep(kept)
        seen = torch.cat([seen, seen.new_ones(len(alive), 1)], 1)
        if lean is not None:
            allowed = additive_mask(seen[:, None, :].bool(), loaded.dtype) if padded else None
            hidden = decode_step(lean, token, place, cache.layers, allowed)
        else:
            allowed = additive_mask(seen[:, None, None, :].bool(), loaded.dtype)
            hidden = _forward(decoder, token[:, None], allowed, place[:, None], cache)[:, -1]
        place = place + 1


def _forward(decoder: Any, ids: Tensor, mask: Tensor, position_ids: Tensor, cache: Any) -> Tensor:
    """Hidden states [N, L, H]; the cache grows by L."""
    out = decoder(input_ids=ids, attention_mask=mask, position_ids=position_ids, past_key_values=cache, use_cache=True)
    return out.last_hidden_state  # type: ignore[no-any-return]


def _take(rows: list[AnswerRow], alive: list[int], drawn: Draw, tops: list[TopLogprobs]) -> list[int]:
    """Give each live row its token; indices (into `alive`) of those that go on."""
    columns = zip(*(column.tolist() for column in drawn), tops, strict=True)
    return [place for place, taken in enumerate(columns) if _goes_on(rows[alive[place]], *taken)]


def _goes_on(row: AnswerRow, token: int, raw: float, sampled: float, top: TopLogprobs) -> bool:
    return not row.left() and row.take(token, raw, sampled, top)


def _uniforms(rows: list[AnswerRow], longest: int) -> Tensor:
    """[N, longest] float64 in [0, 1): each row's own stream."""
    return torch.stack([row.uniforms(longest) for row in rows])


def check_lengths(loaded: LoadedModel, requests: Sequence[GenerationRequest]) -> None:
    """Every prompt with its answer fits into the context. Raises PromptTooLong."""
    for request in requests:
        prompt, wanted = len(request.prompt_token_ids), request.sampling.max_tokens
        if prompt == 0 or prompt + wanted > loaded.context_length:
            raise PromptTooLong(
                f"prompt of {prompt} tokens and max_tokens {wanted} do not fit into the context of "
                f"{loaded.context_length} tokens: shorten the messages or lower max_tokens",
                field="messages",
            )
