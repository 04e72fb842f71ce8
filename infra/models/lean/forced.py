"""Log-probabilities of given completions on the very path that answers: pieces, single tokens, mixed steps."""

from collections.abc import Sequence

import torch

from infra.models.kv_tables import KvMemory, KvShape, Lane
from infra.models.lean.ragged import hidden_states, logits
from infra.models.lean.steps import Span, lay_out
from infra.models.lean.voices import Voice

Sequences = Sequence[Sequence[int]]


def in_pieces(voice: Voice, prompts: Sequences, completions: Sequences) -> list[list[float]]:
    """Log-probabilities (nats) of the completions' tokens, every sequence in a step of its own, as one piece."""
    return [
        _one_step(voice, [prompt], [completion])[0] for prompt, completion in zip(prompts, completions, strict=True)
    ]


def together(voice: Voice, company: Voice, prompts: Sequences, completions: Sequences) -> list[list[float]]:
    """The same in one step, beside the same sequences computed with `company`."""
    return _one_step(voice, prompts, completions, company)


def token_by_token(voice: Voice, company: Voice, prompts: Sequences, completions: Sequences) -> list[list[float]]:
    """The same as answers are drawn: the prompts as pieces, then one token a step for all, `company`'s rows among
    them."""
    memory, device = _memory(voice), voice.lean.embedding.device
    rows = [(v, [*p, *c], len(p)) for v in (voice, company) for p, c in zip(prompts, completions, strict=True)]
    lanes = [_open(memory, len(ids)) for _, ids, _ in rows]
    found: list[list[float]] = [[] for _ in prompts]
    while True:
        going = [i for i, (_, ids, _) in enumerate(rows) if lanes[i].length < len(ids) - 1]
        if not any(i < len(prompts) for i in going):
            return found
        spans = []
        for i in going:
            v, ids, prompt = rows[i]
            begun = lanes[i].length
            spans.append(Span(lanes[i], v, ids[:prompt] if not begun else ids[begun : begun + 1]))
        step = lay_out(spans)
        drawn = logits(step, hidden_states(step), step.lasts).float().log_softmax(-1)
        for span in spans:
            span.lane.length += len(span.ids)
        nexts = torch.tensor([rows[i][1][lanes[i].length] for i in going], device=device)
        for i, value in zip(going, drawn.gather(1, nexts[:, None]).squeeze(1).tolist(), strict=True):
            if i < len(prompts):
                found[i].append(value)


def _one_step(
    voice: Voice, prompts: Sequences, completions: Sequences, company: Voice | None = None
) -> list[list[float]]:
    memory, device = _memory(voice), voice.lean.embedding.device
    pairs = list(zip(prompts, completions, strict=True))
    voices = [voice] if company is None else [voice, company]
    spans = [Span(_open(memory, len(p) + len(c)), v, [*p, *c][:-1]) for v in voices for p, c in pairs]
    step = lay_out(spans)
    hidden = hidden_states(step)
    found = []
    for (prompt, completion), last in zip(pairs, step.lasts.tolist()[: len(pairs)], strict=True):
        places = torch.arange(last - len(completion) + 1, last + 1, device=device)
        values = logits(step, hidden, places).float().log_softmax(-1)
        found.append(values.gather(1, torch.tensor([list(completion)], device=device).t()).squeeze(1).tolist())
        assert len(prompt) > 0, "a completion has no log-probability without a prompt token"
    return found


def _memory(voice: Voice) -> KvMemory:
    """Room of its own, beside that of the rows that answer."""
    return KvMemory(shape_of(voice), limit_bytes=1 << 62, longest=1 << 31, max_rows=1 << 16)


def _open(memory: KvMemory, tokens: int) -> Lane:
    lane = memory.open(tokens)
    assert lane is not None, "memory without a limit has room"
    return lane


def shape_of(voice: Voice) -> KvShape:
    """What a token of this model costs."""
    lean = voice.lean
    return KvShape(len(lean.layers), lean.kv_heads, lean.width, lean.embedding.dtype, lean.embedding.device)
