"""AdamW on fp32 copies of the trained weights: they compute in the base's precision, and small steps are not lost."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor


class MasterAdamW:
    """fp32 masters of the trainable parameters; `step` writes the rounded values back.

    Gradients are clipped to the global norm `max_norm`. A step whose gradient is not finite changes nothing and is
    counted in `skipped`. `factors` [parameters] multiply the learning rate (default: 1 each).
    """

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], max_norm: float, factors: Sequence[float] | None = None
    ) -> None:
        self._parameters = list(parameters)
        self._masters = [p.detach().float().clone().requires_grad_() for p in self._parameters]
        self._max_norm = max_norm
        by_factor: dict[float, list[Tensor]] = {}
        for master, factor in zip(self._masters, factors or [1.0] * len(self._masters), strict=True):
            by_factor.setdefault(factor, []).append(master)
        self._factors = list(by_factor)
        groups = [{"params": masters} for masters in by_factor.values()]
        self._optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=0.0)
        self.skipped = 0

    def step(self, learning_rate: float) -> float:
        """One update from the gradients at hand, which are cleared. Returns their norm before clipping."""
        for master, parameter in zip(self._masters, self._parameters, strict=True):
            master.grad = torch.zeros_like(master) if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        norm = float(torch.nn.utils.clip_grad_norm_(self._masters, self._max_norm))
        if not norm < float("inf"):
            self.skipped += 1
            return norm
        for group, factor in zip(self._optimizer.param_groups, self._factors, strict=True):
            group["lr"] = learning_rate * factor
        self._optimizer.step()
        self._write_back()
        return norm

    def state(self) -> dict[str, Tensor]:
        """Masters and moments by name; with the step's number all there is to go on from."""
        tensors = {"skipped": torch.tensor(self.skipped)}
        for i, master in enumerate(self._masters):
            tensors[f"{i}.master"] = master.detach().cpu()
            for name, value in self._optimizer.state.get(master, {}).items():
                tensors[f"{i}.{name}"] = value.detach().cpu()
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a `state()`. Raises KeyError or RuntimeError for one of other parameters."""
        self.skipped = int(tensors["skipped"])
        for i, master in enumerate(self._masters):
            with torch.no_grad():
                master.copy_(tensors[f"{i}.master"])
            moments = {
                name: tensors[f"{i}.{name}"].clone().to(master.device if name != "step" else "cpu")
                for name in ("step", "exp_avg", "exp_avg_sq")
                if f"{i}.{name}" in tensors
            }
            if moments:
                self._optimizer.state[master] = moments
        self._write_back()

    def _write_back(self) -> None:
        with torch.no_grad():
            for master, parameter in zip(self._masters, self._parameters, strict=True):
                parameter.copy_(master)
