"""What every loss is tried with: parameters that exercise it, and margins away from the kinks of its definition."""

import torch
from torch import Tensor

from reward_model.losses import Auxiliary, NoiseParameters, pair_loss

ALL = (
    "bt",
    "forward_corrected",
    "gce",
    "huber_bt",
    "huber_of_loss",
    "label_smoothed",
    "modified_huber",
    "phuber",
    "rao_kupper",
    "rdpo",
    "repo_em",
    "ropo",
    "sigmoid",
    "truncated_hinge",
    "vrpo",
)
"""Written out, so that a loss lost from the registry fails a test."""

SETTINGS = (
    {},
    {"flip_rate": 0.2, "threshold": 2.0, "exponent": 0.3, "ropo_alpha": 0.5, "huber_delta": 0.4, "tie_ratio": 3.0},
    {"flip_rate": 0.05, "threshold": 10.0, "exponent": 1.0, "ropo_alpha": 3.0, "huber_delta": 2.5, "tie_ratio": 1.1},
)


def noise_for(name: str, shape: torch.Size, **fields: object) -> NoiseParameters:
    """Parameters for `name` on margins of `shape`; `vrpo` gets an auxiliary whose even rows are recorded."""
    if name == "vrpo":
        count = shape.numel()
        g = torch.linspace(0.1, 0.9, count, dtype=torch.float64).reshape(shape)
        observed = (torch.arange(count) % 2 == 0).reshape(shape) if count > 1 else torch.zeros(shape, dtype=torch.bool)
        fields = fields | {"auxiliary": Auxiliary(g, observed)}
    return NoiseParameters(**fields)  # type: ignore[arg-type]


def at(z: float) -> Tensor:
    return torch.tensor(z, dtype=torch.float64)


def slope(name: str, z: float, noise: NoiseParameters) -> float:
    point = at(z).requires_grad_(True)
    (gradient,) = torch.autograd.grad(pair_loss(name)(point, noise), point)
    return float(gradient)
