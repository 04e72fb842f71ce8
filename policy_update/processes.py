"""Several processes that train one adapter: prompts are shared out, numbers are gathered, gradients summed.

Started by `accelerate launch` (or torchrun), whose environment says who is who; without it there is one process and
every function here hands back what it was given. Rank 0 alone writes: store, registry, checkpoints, adapter.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among `size`; `rank` from 0."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> "Processes":
        """Meet the others that the launcher started (gloo on CPUs, nccl on GPUs); alone where there are none."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        from accelerate import PartialState  # type: ignore[import-untyped]

        # While rank 0 examines what was trained, the others wait for the next training.
        state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(hours=12))
        return cls(state.process_index, state.num_processes)

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """The indices out of `count` that are this process's: a consecutive stretch, as equal as can be."""
        return range(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def gather(self, own: T) -> list[T]:
        """What every process gave, by rank. Values are pickled: keep tensors on the CPU."""
        if self.size == 1:
            return [own]
        found: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(found, own)
        return found

    def tell(self, value: T) -> T:
        """What rank 0 gave."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        told: T = box[0]
        return told

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes: one message for all of them."""
        if self.size == 1:
            return
        listed = list(tensors)
        whole = torch.cat([tensor.detach().float().flatten() for tensor in listed])
        torch.distributed.all_reduce(whole)
        for tensor, part in zip(listed, torch.split(whole, [t.numel() for t in listed]), strict=True):
            tensor.copy_(part.view_as(tensor))


def padded_together(tensors: Sequence[Tensor]) -> Tensor:
    """Rows (n_i, T_i) of several processes below one another, zeros to the longest T."""
    longest = max(tensor.shape[1] for tensor in tensors)
    return torch.cat([torch.nn.functional.pad(tensor, (0, longest - tensor.shape[1])) for tensor in tensors])
