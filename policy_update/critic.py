"""The critic of PPO and VAPO: a linear layer on the policy's last hidden state, with an optimiser group of its own."""

from typing import Any

import torch
from torch import Tensor


class Critic(torch.nn.Module):
    """Values V(s_t) [tokens] of hidden states [tokens, H], in fp32. Starts at 0 everywhere.

    No gradient goes on into the policy: the adapter is shaped by advantages alone (a shared trunk would let the scale
    of the value loss compete with them).
    """

    def __init__(self, width: int, device: torch.device, learning_rate: float) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(width, device=device))
        self.bias = torch.nn.Parameter(torch.zeros((), device=device))
        self._optimizer = torch.optim.AdamW(self.parameters(), lr=learning_rate, weight_decay=0.0, betas=(0.9, 0.95))

    def forward(self, hidden: Tensor) -> Tensor:
        # Hidden states leave the last norm with a mean square near 1 a coordinate: divided so that V moves as its rate
        # says.
        values: Tensor = hidden.float() @ self.weight / hidden.shape[-1] ** 0.5 + self.bias
        return values

    def step(self) -> None:
        """One update from the gradients at hand, which are cleared."""
        torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def gradients(self) -> list[Tensor]:
        """The gradients at hand, zeros where there are none, to be summed over processes in place."""
        for parameter in (self.weight, self.bias):
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        return [self.weight.grad, self.bias.grad]  # type: ignore[list-item]

    def clear(self) -> None:
        """Forget the gradients at hand."""
        self._optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """Everything a checkpoint must hold."""
        found = {"weight": self.weight.detach(), "bias": self.bias.detach()}
        return found | moments(self._optimizer, [self.weight, self.bias])

    def load(self, state: dict[str, Tensor]) -> None:
        """Go back to a `state`."""
        with torch.no_grad():
            self.weight.copy_(state["weight"])
            self.bias.copy_(state["bias"])
        load_moments(self._optimizer, [self.weight, self.bias], state)


def moments(optimizer: torch.optim.Optimizer, parameters: list[Any]) -> dict[str, Tensor]:
    """AdamW's step counts and moments as `KIND.INDEX`; empty before its first step."""
    found = {}
    for index, parameter in enumerate(parameters):
        for kind, value in optimizer.state.get(parameter, {}).items():
            found[f"{kind}.{index}"] = value
    return found


def load_moments(optimizer: torch.optim.Optimizer, parameters: list[Any], state: dict[str, Tensor]) -> None:
    """What `moments` gave, put back."""
    optimizer.state.clear()
    for index, parameter in enumerate(parameters):
        kinds = {kind for kind, _, place in (name.rpartition(".") for name in state) if place == str(index)}
        if kinds:
            optimizer.state[parameter] = {kind: state[f"{kind}.{index}"].clone() for kind in kinds}
