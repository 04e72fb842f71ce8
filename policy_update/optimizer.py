"""AdamW on fp32 copies of bf16 LoRA weights: the model computes without casts, and small steps are not rounded away."""

from collections.abc import Iterable

import torch
from torch import Tensor

from policy_update.critic import load_moments, moments


class MasterAdamW:
    """Holds the fp32 master of every trainable parameter; `step` writes the rounded weights back.

    `learning_rate` about ten times that of full fine-tuning is right for LoRA. Gradients are clipped to the global norm
    `max_norm`; a step whose gradient is not finite changes nothing.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], learning_rate: float, max_norm: float = 1.0) -> None:
        self.parameters = list(parameters)
        self.masters = [p.detach().float().clone().requires_grad_() for p in self.parameters]
        self.initial = [m.detach().clone() for m in self.masters]
        self.max_norm = max_norm
        self._optimizer = torch.optim.AdamW(self.masters, lr=learning_rate, weight_decay=0.0, betas=(0.9, 0.95))

    def collect(self) -> None:
        """Add the parameters' gradients to the masters', in fp32, and clear them: summed in bf16, the gradients of many
        micro-batches would lose what the last ones say."""
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            if parameter.grad is None:
                continue
            gradient = parameter.grad.float()
            master.grad = gradient if master.grad is None else master.grad.add_(gradient)
            parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """The masters' gradients, zeros where there are none, to be summed over processes in place."""
        self.collect()
        for master in self.masters:
            master.grad = torch.zeros_like(master) if master.grad is None else master.grad
        return [master.grad for master in self.masters]  # type: ignore[misc]

    def step(self, learning_rate: float) -> float:
        """One update from the parameters' gradients, which are cleared. Returns the gradient norm before clipping."""
        self.gradients()
        norm = float(torch.nn.utils.clip_grad_norm_(self.masters, self.max_norm))
        if norm != norm or norm == float("inf"):
            self._optimizer.zero_grad(set_to_none=True)
            return norm
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
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
                parameter.grad = master.grad = None

    def state(self) -> dict[str, Tensor]:
        """Everything a checkpoint must hold to go on as if nothing had happened."""
        found = moments(self._optimizer, self.masters)
        for index, (master, initial) in enumerate(zip(self.masters, self.initial, strict=True)):
            found[f"master.{index}"], found[f"initial.{index}"] = master.detach(), initial
        return found

    def load(self, state: dict[str, Tensor]) -> None:
        """Go back to a `state`. Raises KeyError where it is of other parameters."""
        with torch.no_grad():
            for index, (master, parameter) in enumerate(zip(self.masters, self.parameters, strict=True)):
                master.copy_(state[f"master.{index}"])
                self.initial[index].copy_(state[f"initial.{index}"])
                parameter.copy_(master)
        kept = {name: value for name, value in state.items() if name.split(".")[0] not in ("master", "initial")}
        load_moments(self._optimizer, self.masters, kept)

    def distance_trained(self) -> Tensor:
        """Euclidean distance of all masters from where they started: 0 means that nothing was trained."""
        squares = [(m.detach() - i).square().sum() for m, i in zip(self.masters, self.initial, strict=True)]
        return torch.stack(squares).sum().sqrt() if squares else torch.zeros(())
