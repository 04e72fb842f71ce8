"""Which prompts a step gets, and which share of the learning rate: both follow from the step alone."""

from collections.abc import Iterator, Sequence

import torch

from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.prompts import Conversation


def schedule(step: int, settings: PolicyUpdateSettings) -> float:
    """Share of the learning rate at `step` (from 0): linear warm-up, times a linear fall to `final_rate`. In (0, 1]."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    return warm * (1 - (1 - settings.final_rate) * step / max(1, settings.steps - 1))


class Order(Iterator[Conversation]):
    """All prompts in random order, again and again: none is seen twice before all were seen once. `taken` counts."""

    def __init__(self, conversations: Sequence[Conversation], seed: int, taken: int = 0) -> None:
        self.conversations, self.taken = tuple(conversations), taken
        self._generator = torch.Generator().manual_seed(seed)
        self._round: list[int] = []
        for _ in range(-(-taken // len(self.conversations))):
            self._round = self._shuffled()
        self._round = self._round[len(self._round) - (-taken % len(self.conversations)) :]

    def __next__(self) -> Conversation:
        if not self._round:
            self._round = self._shuffled()
        self.taken += 1
        return self.conversations[self._round.pop(0)]

    def _shuffled(self) -> list[int]:
        order: list[int] = torch.randperm(len(self.conversations), generator=self._generator).tolist()
        return order
