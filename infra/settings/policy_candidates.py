"""Settings of the candidates of the room `policy_update`."""

from typing import Self

from pydantic import Field, model_validator

from infra.settings.base import Section


class CandidateSettings(Section):
    """What one cycle puts before the gate: trained adapters, and linear combinations of them that cost no training."""

    weightings: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Named weightings, each trained to an adapter of its own: name -> weights that replace those of
    `policy_update.objectives` (what is not named keeps its weight). Empty: one training with the objectives as they
    are. Two or three make a dial; each costs a whole training."""
    soups: bool = True
    """With two or more trainings, also their mean: of all, and of each pair when there are three."""
    extrapolations: tuple[float, ...] = ()
    """ExPO: for each a, every trained adapter moved on to champion + (1 + a) (adapter - champion). 0.2 to 0.5 are
    usual; a below 0 takes back part of the way (-0.5: half of it)."""
    most_challengers: int = Field(3, ge=1)
    """Of those that pass the gate, the best so many by their gain become challengers; the others stay in reserve."""
    largest_rank: int = Field(64, ge=1)
    """Combined adapters of a higher rank are cut to this one by their singular values; the share lost is recorded."""

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name, weights in self.weightings.items():
            if not weights:
                raise ValueError(f"weighting {name!r} names no objective: give it at least one weight, or leave it out")
        if any(a <= -1.0 or a == 0.0 for a in self.extrapolations):
            raise ValueError(
                f"extrapolations {self.extrapolations} must be above -1 and not 0: at -1 nothing of the update is "
                "left, at 0 it is the training itself"
            )
        return self
