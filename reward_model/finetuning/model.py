"""A causal language model with LoRA and, on the state of an answer's last token, heads in fp32."""

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from infra.models.loading import LoadedModel, decoder_and_head
from infra.models.lora import attach_lora
from infra.models.lora_compute import fuse
from infra.models.packed_attention import packed_hidden
from infra.models.packing import budgeted, pack, packed_size
from reward_model.finetuning.options import FinetuneOptions


def sharing_copy(loaded: LoadedModel) -> LoadedModel:
    """The same base as another module tree on the same weights: wrapping it in LoRA leaves the original as it is."""
    shared = {id(tensor): tensor for tensor in [*loaded.model.parameters(), *loaded.model.buffers()]}
    return dataclasses.replace(loaded, model=copy.deepcopy(loaded.model, shared))


class ScoreHeads(nn.Module):
    """C linear heads, each 1 + E times: weight [C, 1 + E, H], bias [C, 1 + E], float32.

    Weights begin with standard deviation `spread` / sqrt(H + 1); 1 is what Huang et al. 2024 ("The N+ implementation
    details of RLHF") take for states of unit size. The bias of a head on pairs is not seen in them.
    """

    def __init__(self, heads: int, ensemble: int, hidden: int, seed: int, spread: float = 0.0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        weight = torch.randn(heads, 1 + ensemble, hidden, generator=draw) * (spread / (hidden + 1) ** 0.5)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(heads, 1 + ensemble))

    def forward(self, states: Tensor) -> Tensor:
        """Scores [S, C, 1 + E] of states [S, H] of any precision."""
        flat = states.float() @ self.weight.flatten(0, 1).t()
        out: Tensor = flat.view(-1, *self.bias.shape) + self.bias
        return out


@dataclass(frozen=True)
class Scorer:
    """`peft` wraps a sharing copy of `base`; `heads` stand on the last hidden state after the final norm."""

    base: LoadedModel
    peft: Any
    heads: ScoreHeads

    @classmethod
    def fresh(cls, loaded: LoadedModel, options: FinetuneOptions, heads: int) -> "Scorer":
        """Untrained: the adapter changes nothing yet. It computes in the base's precision."""
        own = sharing_copy(loaded)
        targets = options.targets if isinstance(options.targets, str) else list(options.targets)
        peft = attach_lora(own, rank=options.rank, alpha=options.alpha, targets=targets, seed=options.seed)
        return cls(loaded, ready(peft, loaded.dtype), _heads(own, heads, options))

    def trainable(self) -> list[nn.Parameter]:
        """The adapter's weights, then the heads'."""
        return [p for p in self.peft.parameters() if p.requires_grad] + list(self.heads.parameters())

    def logits(self, groups: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """Scores [S, C, 1 + E] of the sequences of all groups in their order; differentiable."""
        packed = pack(groups, self.base.device)
        decoder, _ = decoder_and_head(self.peft)
        return self.heads(packed_hidden(decoder, packed)[packed.last])  # type: ignore[no-any-return]

    @torch.no_grad()
    def score_groups(self, groups: Sequence[Sequence[Sequence[int]]], budget: int) -> Tensor:
        """`logits` on the CPU without gradients, in forward passes of about `budget` tokens."""
        shape = self.heads.bias.shape
        parts = [torch.zeros(0, *shape)]
        for batch in budgeted([packed_size(group) for group in groups], budget):
            parts.append(self.logits([groups[g] for g in batch]).cpu())
        return torch.cat(parts)


def ready(peft: Any, dtype: torch.dtype) -> Any:
    """The adapter in the base's precision, computed fused: beside a bf16 base an fp32 adapter costs two casts of every
    activation."""
    for name, parameter in peft.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(dtype)
    fuse(peft)
    return peft


def _heads(loaded: LoadedModel, heads: int, options: FinetuneOptions) -> ScoreHeads:
    hidden = int(decoder_and_head(loaded.model)[0].config.hidden_size)
    return ScoreHeads(heads, options.ensemble, hidden, options.seed, options.head_init).to(loaded.device)
