"""AdamW on fp32 copies of bf16 LoRA weights: the model computes without casts, and small steps are not rounded away."""

from collections.abc import Iterable

import torch
from torch import Tensor


class MasterAdamW:
    """Holds the fp32 master of every trainable parameter; `step` writes the rounded weights back.

    `learning_rate` about ten times that of full fine-tuning is right for LoRA. Gradients are clipped to the global norm
    `max_norm`; a step whose gradient is not finite is skipped and counted in `skipped`.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], learning_rate: float, max_norm: float = 1.0) -> None:
        self.parameters = list(parameters)
        self.masters = [p.detach().float().clone().requires_grad_() for p in self.parameters]
        self.initial = [m.detach().clone() for m in self.masters]
        self.max_norm = max_norm
        self.skipped = 0
        self._optimizer = torch.optim.AdamW(self.masters, lr=learning_rate, weight_decay=0.0, betas=(0.9, 0.95))

    def step(self, learning_rate: float) -> float:
        """One update from the parameters' gradients, which are cleared. Returns the gradient norm before clipping."""
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            master.grad = torch.zeros_like(master) if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        norm = float(torch.nn.utils.clip_grad_norm_(self.masters, self.max_norm))
        if norm != norm or norm == float("inf"):
            self.skipped += 1
            return norm
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        with torch.no_grad():
            for master, parameter in zip(self.masters, self.parameters, strict=True):
                parameter.copy_(master)
        return norm

    def snapshot(self) -> list[Tensor]:
        """The masters as they are now, to `restore` later."""
        return [master.detach().clone() for master in self.masters]

    def restore(self, masters: list[Tensor]) -> None:
        """Go back to a snapshot, and forget the gradients at hand. The moments stay: they only shape the next step."""
        with torch.no_grad():
            for master, parameter, kept in zip(self.masters, self.parameters, masters, strict=True):
                master.copy_(kept)
                parameter.copy_(kept)
                parameter.grad = None

    def distance_trained(self) -> Tensor:
        """Euclidean distance of all masters from where they started: 0 means that nothing was trained."""
        squares = [(m.detach() - i).square().sum() for m, i in zip(self.masters, self.initial, strict=True)]
        return torch.stack(squares).sum().sqrt() if squares else torch.zeros(())
