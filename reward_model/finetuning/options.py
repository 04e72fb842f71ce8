"""How a reward model is fine-tuned: one frozen record, part of what is saved."""

import math
from dataclasses import dataclass

from infra.contracts import PlauditError
from reward_model.losses import NoiseParameters, pair_loss


class InvalidFinetuning(PlauditError):
    """Options or examples with which nothing can be trained."""

    code = "invalid_finetuning"
    status = 400


@dataclass(frozen=True)
class FinetuneOptions:
    """LoRA of `rank` and `alpha` on `targets` (names of linear layers, or all-linear), trained by AdamW for `steps`
    batches of `batch` units (a pair, or a labelled answer without one), the rate falling linearly to 0 after a
    linear rise over the first `warmup` steps; gradients are clipped to the norm `max_norm`.

    `loss` and `threshold` are the pairs' (flip rates come with the examples). `ensemble` heads beside the first see
    units weighed by Exp(1) draws, one a group: the Bayesian bootstrap. `label_weight` is the share of the pointwise
    heads beside the pairs' loss. `centring` c adds c (u1 + u2)^2 for each pair (Eisenstein et al. 2023). `micro_tokens`
    bounds the tokens of one forward pass, and with it the memory. `length_slope` [log-odds for each unit of
    log(1 + characters)] is a part of the preference that is explained by length alone: added to the margins in training
    and never to a score, so that the model need not learn it.

    Heads begin with standard deviation `head_init` / sqrt(H + 1) and learn at `head_rate` times the rate. A head that
    begins at random must first unlearn what it says of every answer: states differ by far more than the unit that
    1 / sqrt(H + 1) is meant for, and in a few hundred pairs a rate that suits LoRA moves it too little. Measured in
    `docs/benchmarks/reward-training.md`.
    """

    rank: int = 16
    alpha: float = 32.0
    targets: str | tuple[str, ...] = "all-linear"
    loss: str = "huber_bt"
    threshold: float = 10.0
    learning_rate: float = 1e-4
    steps: int = 100
    warmup: int = 0
    batch: int = 16
    micro_tokens: int = 512
    max_norm: float = 1.0
    ensemble: int = 4
    label_weight: float = 1.0
    centring: float = 0.0
    length_slope: float = 0.0
    head_init: float = 0.0
    head_rate: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        pair_loss(self.loss)
        NoiseParameters(threshold=self.threshold)
        for name in ("rank", "steps", "batch", "micro_tokens"):
            if getattr(self, name) < 1:
                raise InvalidFinetuning(f"{name} is {getattr(self, name)}; it must be at least 1", field=name)
        for name in ("alpha", "learning_rate", "max_norm", "head_rate"):
            value = getattr(self, name)
            if not 0.0 < value < math.inf:
                raise InvalidFinetuning(f"{name} is {value}; it must be above 0", field=name)
        for name in ("warmup", "ensemble", "label_weight", "centring", "head_init"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise InvalidFinetuning(f"{name} is {value}; it must be 0 or more, and finite", field=name)
        if not math.isfinite(self.length_slope):
            raise InvalidFinetuning(f"length_slope is {self.length_slope}; it must be finite", field="length_slope")

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, ..., steps - 1."""
        rising = (step + 1) / (self.warmup + 1) if step < self.warmup else 1.0
        falling = max(0, self.steps - max(step, self.warmup)) / max(1, self.steps - self.warmup)
        return self.learning_rate * rising * falling
