"""The one interface of every e-process that is fed a person at a time."""

from typing import Protocol, Self


class EState(Protocol):
    """An e-process so far: `BettingState`, `TwoArmState` and `AsymptoticState` are of this kind.

    `log_e`: nats, after the newest person (or closed block); `highest`: the highest it has been, which is what Ville's
    inequality bounds. Design and margin belong to the experiment's frozen rules and are not stored with `pack`.
    """

    log_e: float
    highest: float

    @property
    def people(self) -> int:
        """People counted so far."""
        ...

    def update(
        self,
        in_a: bool,
        value: float,
        phase: int = 0,
        propensity: float = 0.5,
        covariate: float | None = None,
        denominator: float = 1.0,
    ) -> float:
        """Count one more person, in fixed order, and return `log_e`. `in_a`: in the arm that is thought to be higher;
        `propensity`: of that arm at this person's assignment, in (0, 1); `covariate`: from before exposure;
        `denominator`: of a ratio. What a test has no use for it leaves alone or refuses (InvalidStatisticsInput)."""
        ...

    def pack(self) -> bytes:
        """The state as bytes, exactly."""
        ...

    def restored(self, packed: bytes) -> Self:
        """The state that was packed, under this one's design and margin."""
        ...
