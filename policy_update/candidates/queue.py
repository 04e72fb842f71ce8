"""Who of those that passed the gate may meet people, and who is next: best gate gain first. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Gated:
    """A candidate with its verdict; `gain` is the lower end of its gain in the weighted reward, in the champion's
    standard deviations: what it surely gains, so that noise does not put a candidate first."""

    ref: str
    passed: bool
    gain: float


def states(gated: Sequence[Gated], most: int) -> dict[str, str]:
    """State of each candidate: refused; challenger, for the best `most` by gain; reserve, for the others that passed.

    Equal gains: the earlier one goes first (trainings come before their combinations).
    """
    passed = sorted((one for one in gated if one.passed), key=lambda one: -one.gain)
    chosen = {one.ref for one in passed[:most]}
    return {one.ref: "refused" if not one.passed else "challenger" if one.ref in chosen else "reserve" for one in gated}
