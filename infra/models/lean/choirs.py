"""The LoRA of several adapters as one, for steps of few tokens in which several of them speak.

One after the other, k adapters take k times as many small products, whose cost is their number. Joined, their A lie
below one another and their B side by side: B (A x) with what A x says in the columns of other adapters set to zero is
what each token's own adapter adds, in as many products as one adapter takes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakSet

import structlog
import torch
from torch import Tensor

from infra.models.lean.voices import Beside, Voice

log = structlog.get_logger()

MOST = 4
"""Adapters that are joined at most: every token is multiplied with all of them."""
MOST_TOKENS = 128
"""Tokens of a step up to which joining pays: beyond, the products cost more than their number."""
PATIENCE = 64
"""Steps that are computed one after the other between two joinings: one costs as much as a few steps."""


class Joined(NamedTuple):
    """One product's LoRA of all voices; `layout` says in which of the choir's layouts its columns are theirs."""

    beside: Beside
    layout: int


@dataclass(frozen=True)
class Choir:
    """Voices with the same base, and their LoRA: `lora[l]` by part, where any of them has some. `layouts[n]` [R] says
    whose each column of A x is: the place of a voice."""

    voices: tuple[Voice, ...]
    lora: tuple[Mapping[str, Joined], ...]
    layouts: tuple[Tensor, ...]

    def has(self, voice: Voice) -> bool:
        return any(own is voice for own in self.voices)

    def silent(self, speakers: Sequence[Voice]) -> tuple[Tensor, ...]:
        """For each layout [T, R]: which columns are not of the voice that speaks token t."""
        places = {id(voice): place for place, voice in enumerate(self.voices)}
        device = self.voices[0].lean.embedding.device
        owners = torch.tensor([places[id(voice)] for voice in speakers], device=device)[:, None]
        return tuple(owners != columns for columns in self.layouts)


class Choirs:
    """The last choir, and when to make another. Used by one thread."""

    def __init__(self) -> None:
        self._choir: Choir | None = None
        self._rest = 0
        self._gone: WeakSet[Voice] = WeakSet()

    def of(self, voices: Sequence[Voice]) -> Choir | None:
        """A choir in which all of `voices` are, each with LoRA beside the same base; None where they are to be computed
        one after the other: too many, one that is let go of (until its last answer has ended), no memory, or another
        choir was made a moment ago."""
        choir = self._choir
        if choir is not None and all(choir.has(voice) for voice in voices):
            return choir
        if len(voices) > MOST or any(voice in self._gone for voice in voices):
            return None
        if self._rest:
            self._rest -= 1
            return None
        self._rest = PATIENCE
        before, choir, self._choir = (() if choir is None else choir.voices), None, None  # not both at once
        others = [own for own in before if own not in voices and own.lean is voices[0].lean]
        try:
            self._choir = join([*voices, *others][:MOST])
        except (MemoryError, RuntimeError) as error:  # it only makes them faster
            log.warning("adapters_not_joined", adapters=len(voices), error=str(error))
        return self._choir

    def forget(self, voice: Voice) -> None:
        """Keep no copy of its weights, now and in future."""
        self._gone.add(voice)
        if self._choir is not None and self._choir.has(voice):
            self._choir, self._rest = None, 0


@torch.inference_mode()
def join(voices: Sequence[Voice]) -> Choir:
    """The choir of `voices`, in this order."""
    loras = [voice.lora or ({},) * len(voice.lean.layers) for voice in voices]
    layouts: dict[tuple[int, ...], int] = {}
    layers = []
    for at in zip(*loras, strict=True):
        joined = {}
        for kind in dict.fromkeys(kind for own in at for kind in own):
            present = [(place, own[kind]) for place, own in enumerate(at) if kind in own]
            columns = tuple(place for place, own in present for _ in range(own.a.shape[0]))
            a, b = torch.cat([own.a for _, own in present]), torch.cat([own.b for _, own in present], 1)
            joined[kind] = Joined(Beside.of(a, b), layouts.setdefault(columns, len(layouts)))
        layers.append(joined)
    device = voices[0].lean.embedding.device
    return Choir(tuple(voices), tuple(layers), tuple(torch.tensor(columns, device=device) for columns in layouts))
