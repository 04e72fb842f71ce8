"""Drawing the next token: temperature, top-k, top-p, by inverse cumulative distribution over a pre-cut head.

One uniform number per row and token decides, so a seeded request draws the same tokens whatever batch it is in (as far
as the model's own arithmetic allows). `torch.multinomial` would spend a fifth of the generation time on noise for
every entry of the vocabulary.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from infra.contracts import SamplingParameters

HEAD = 64
"""Entries of the vocabulary sorted at first; rows whose draw falls outside are drawn again over all entries."""
LEAST_TEMPERATURE = 1e-6
"""Below it a row is greedy: logits divided by less leave what a float32 can hold, and the draw would be of NaN. The
likeliest token has all the mass there anyhow, unless another lies within some millionths of a nat."""
BLOCK = 192
"""Entries of the vocabulary summed as one where nothing is truncated."""
ROWS = 16
"""Rows drawn at once on a CPU: what a draw makes of their logits stays in its cache, and in memory that is not asked of
the system anew for each draw."""


class Controls(NamedTuple):
    """Sampling parameters by row, each [N]: temperature >= 0 (0: greedy), top_k >= 0 (0: all), 0 < top_p <= 1."""

    temperature: Tensor
    top_k: Tensor
    top_p: Tensor

    def rows(self, index: Tensor) -> "Controls":
        return Controls(self.temperature[index], self.top_k[index], self.top_p[index])


def controls_of(sampling: Sequence[SamplingParameters], device: torch.device) -> Controls:
    """The controls of rows drawn as `sampling` says; see LEAST_TEMPERATURE."""
    temperatures = [s.temperature if s.temperature >= LEAST_TEMPERATURE else 0.0 for s in sampling]
    return Controls(
        torch.tensor(temperatures, device=device),
        torch.tensor([s.top_k for s in sampling], device=device),
        torch.tensor([s.top_p for s in sampling], device=device),
    )


class Draw(NamedTuple):
    """`token` [N]; `logprob_raw` [N] log p(token) at temperature 1, untruncated; `logprob_sampled` [N] as really drawn
    (0 for greedy rows). Nats."""

    token: Tensor
    logprob_raw: Tensor
    logprob_sampled: Tensor


def draw(logits: Tensor, controls: Controls, uniforms: Tensor, head: int = HEAD) -> Draw:
    """Draw one token for each row of `logits` [N, V].

    With s = logits / T sorted downwards, keep the first top_k, then the smallest prefix whose mass reaches top_p, and
    return the first entry whose cumulative mass exceeds u times the mass kept; `uniforms` [N] in [0, 1), float64. A row
    that nothing truncates is not sorted: its cumulative mass runs in the order of the vocabulary.
    """
    if logits.device.type == "cpu" and len(logits) > ROWS:
        some = [slice(start, start + ROWS) for start in range(0, len(logits), ROWS)]
        drawn = [draw(logits[rows], Controls(*(c[rows] for c in controls)), uniforms[rows], head) for rows in some]
        return Draw(*(torch.cat(column) for column in zip(*drawn, strict=True)))
    whole = (controls.top_k == 0) & (controls.top_p >= 1) & (controls.temperature > 0)
    if bool(whole.all()):
        return _draw_whole(logits, controls.temperature, uniforms)
    if not bool(whole.any()):
        return _draw_sorted(logits.float(), controls, uniforms, head)
    parts = []
    for rows in (whole.nonzero().squeeze(1), (~whole).nonzero().squeeze(1)):
        part = draw(logits[rows], controls.rows(rows), uniforms[rows.cpu()], head)
        parts.append((rows, part))
    result = Draw(*(torch.empty(len(logits), dtype=column.dtype, device=logits.device) for column in parts[0][1]))
    for rows, part in parts:
        for into, column in zip(result, part, strict=True):
            into[rows] = column
    return result


def _draw_whole(logits: Tensor, temperature: Tensor, uniforms: Tensor) -> Draw:
    """Inverse cumulative distribution in two stages: which block of the vocabulary, then which entry of it."""
    count, size = logits.shape
    plain = bool((temperature == 1).all())
    wide = logits.float()
    mass = (wide if plain else wide / temperature[:, None]).softmax(-1)
    blocks = -(-size // BLOCK)
    if blocks * BLOCK != size:
        mass = torch.nn.functional.pad(mass, (0, blocks * BLOCK - size))
    mass = mass.view(count, blocks, BLOCK)
    by_block = mass.sum(-1).double().cumsum(-1)
    target = (uniforms.to(logits.device).double() * by_block[:, -1])[:, None]
    block = (by_block <= target).sum(-1, keepdim=True).clamp_max(blocks - 1)
    below = torch.where(block > 0, by_block.gather(1, (block - 1).clamp_min(0)), 0.0)
    inside = mass.gather(1, block[:, :, None].expand(-1, 1, BLOCK)).squeeze(1).double()
    within = (inside.cumsum(-1) + below <= target).sum(-1, keepdim=True)
    # Rounding may carry the target past the block's end: its last entry with any mass is meant.
    last = BLOCK - 1 - (inside > 0).flip(-1).int().argmax(-1, keepdim=True)
    pick = torch.minimum(within, last)
    token = block * BLOCK + pick
    sampled = (inside.gather(1, pick) / by_block[:, -1:]).log()
    raw = sampled if plain else (wide.gather(1, token) - wide.logsumexp(-1, keepdim=True)).double()
    return Draw(token.squeeze(1), raw.squeeze(1).float(), sampled.squeeze(1).float())


def _draw_sorted(logits: Tensor, controls: Controls, uniforms: Tensor, head: int) -> Draw:
    """`draw` over the sorted head; rows whose draw falls outside it are drawn again over all entries."""
    head = min(max(head, int(controls.top_k.max())), logits.shape[-1])
    normaliser = logits.logsumexp(-1)
    top, index = logits.topk(head, -1)
    greedy = controls.temperature == 0
    temperature = torch.where(greedy, 1.0, controls.temperature)
    scaled = top.double() / temperature.double()[:, None]
    total = _total_mass(logits, temperature, normaliser)
    probability, kept, settled = _truncate(scaled, total, controls, complete=head == logits.shape[-1])
    target = uniforms.to(logits.device).double() * kept
    cumulative = probability.cumsum(-1)
    last = (probability > 0).sum(-1) - 1  # the last entry kept, should rounding carry the target past the end
    pick = torch.minimum((cumulative <= target[:, None]).sum(-1), last)
    settled &= (target < cumulative[:, -1]) | (head == logits.shape[-1])
    pick = torch.where(greedy, 0, pick)[:, None]
    raw = top.gather(1, pick).squeeze(1) - normaliser
    sampled = (probability.gather(1, pick).squeeze(1) / kept).clamp_min(1e-300).log()
    result = Draw(index.gather(1, pick).squeeze(1), raw.float(), torch.where(greedy, 0.0, sampled).float())
    open_rows = (~(settled | greedy)).nonzero().squeeze(1)
    if len(open_rows) == 0:
        return result
    again = _draw_sorted(logits[open_rows], controls.rows(open_rows), uniforms[open_rows.cpu()], logits.shape[-1])
    return Draw(*(old.index_copy(0, open_rows, new) for old, new in zip(result, again, strict=True)))


def _total_mass(logits: Tensor, temperature: Tensor, normaliser: Tensor) -> Tensor:
    """log sum exp(logits / T) by row; only rows with T != 1 pay for a second pass over the vocabulary."""
    total = normaliser.double().clone()
    rows = (temperature != 1).nonzero().squeeze(1)
    if len(rows):
        total[rows] = (logits[rows] / temperature[rows, None]).logsumexp(-1).double()
    return total


def _truncate(scaled: Tensor, total: Tensor, controls: Controls, complete: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities of the sorted head with what is cut set to 0, the mass kept, and whether the head decided the cut.

    `scaled` [N, K] logits over temperature, sorted downwards; `total` [N] the log-mass of the whole vocabulary.
    """
    rank = torch.arange(scaled.shape[1], device=scaled.device)
    by_k = controls.top_k > 0
    within = (rank[None, :] < controls.top_k[:, None]) | ~by_k[:, None]
    restricted = scaled.masked_fill(~within, -torch.inf).logsumexp(-1)
    probability = (scaled - torch.where(by_k, restricted, total)[:, None]).exp() * within
    before = probability.cumsum(-1) - probability
    by_p = controls.top_p < 1
    nucleus = before < controls.top_p[:, None].double()
    nucleus[:, 0] = True
    reached = probability.sum(-1) >= controls.top_p
    probability = torch.where(by_p[:, None], probability * nucleus, probability)
    kept = torch.where(by_p | by_k, probability.sum(-1), 1.0)
    settled = by_k | ~by_p | reached
    return probability, kept, settled | complete
