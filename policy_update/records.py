"""What a run of training leaves to read: one record a step, and how it ended."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class StepRecord:
    """One step: means over its answers, all processes together; times in seconds; KL and entropy in nats a token.

    `kl` is that of the weights that drew the answers, to the champion; `kl_base` to the base; `entropy` is estimated
    from the drawn tokens. `skipped_groups` got no forward pass (nothing to learn, nothing to hold); `redrawn` groups
    were drawn in the place of ones without differences.
    """

    step: int
    rewards: dict[str, float]
    spreads: dict[str, float]
    shares: dict[str, float]
    covariances: dict[str, float]
    kl: float
    beta: float
    gradient_norm: float
    taken_back: bool
    clip_fraction: float
    mean_length: float
    sampler_mismatch: float
    sampling_seconds: float
    scoring_seconds: float
    update_seconds: float
    kl_base: float = 0.0
    entropy: float = 0.0
    loss: float = 0.0
    truncated_share: float = 0.0
    tokens: int = 0
    skipped_groups: int = 0
    redrawn: int = 0
    multipliers: dict[str, float] = field(default_factory=dict)

    @property
    def tokens_a_second(self) -> float:
        """Generated tokens over the seconds of the whole step."""
        return self.tokens / max(1e-9, self.sampling_seconds + self.scoring_seconds + self.update_seconds)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "StepRecord":
        """The record that `dataclasses.asdict` made `document` of."""
        return cls(**{item.name: document[item.name] for item in fields(cls) if item.name in document})


def logged_figures(record: StepRecord) -> dict[str, float]:
    """What the run in the registry keeps of each step: every number, and each objective's own."""
    figures = {
        name: float(value) for name, value in asdict(record).items() if name != "step" and not isinstance(value, dict)
    }
    for kind in ("spreads", "shares", "covariances", "multipliers"):
        figures |= {f"{kind.rstrip('s')}.{name}": value for name, value in getattr(record, kind).items()}
    return {**figures, "tokens_a_second": record.tokens_a_second, **record.rewards}


def plain(value: Any) -> Any:
    """As JSON data for ever: a number that is not finite becomes a string, since JSON has no such number and the
    store refuses it (`float` reads it back)."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    return value


@dataclass
class TrainingRun:
    """What came out of a run."""

    history: list[StepRecord] = field(default_factory=list)
    stopped: str = "all steps done"
    distance: float = 0.0
    resumed_at: int = 0
    """The step a checkpoint was taken up at; 0 for a run from the start."""
