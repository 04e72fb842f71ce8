"""Sample-ratio mismatch, watched all the time: do people land in the arms as often as they should?

Multinomial against a Dirichlet mixture (Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data",
NeurIPS 2022).
"""

import struct
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from infra.statistics.two_arm import BoolArray, FloatArray, IntArray, InvalidStatisticsInput


def log_dirichlet_factor(counts: FloatArray, shares: FloatArray, concentration: float) -> FloatArray:
    """Logarithm (nats) of the e-value of counts (last axis: arms) against the intended `shares` (sum 1).

    E_n = [B(a + n) / B(a)] / prod_i theta_i^{n_i},  a = concentration * theta,  B the multivariate beta function.
    """
    prior = concentration * shares
    return np.asarray(
        gammaln(prior + counts).sum(-1)
        - gammaln((prior + counts).sum(-1))
        - gammaln(prior).sum()
        + gammaln(prior.sum())
        - (counts * np.log(shares)).sum(-1)
    )


def sample_ratio_e_process(
    in_challenger: BoolArray, phase: IntArray, challenger_share: NDArray[np.float64], concentration: float = 100.0
) -> FloatArray:
    """Logarithm (nats) of the e-process after 0, 1, ..., n people, in order of arrival.

    `challenger_share[phase]` in (0, 1): how likely a counted person of that phase is in the challenger. Every phase
    has its own factor; the factors multiply. `concentration` > 0: about the number of people after which a deviation
    of the size 1 / sqrt(concentration) is looked for; larger is more patient.
    """
    if concentration <= 0:
        raise InvalidStatisticsInput(f"concentration must be positive, got {concentration}", field="concentration")
    path = np.zeros(in_challenger.shape[0] + 1)
    for index in np.unique(phase):
        here = phase == index
        theta = float(challenger_share[index])
        if not 0 < theta < 1:
            raise InvalidStatisticsInput(
                f"the challenger's share must lie strictly between 0 and 1, got {theta} in phase {index}",
                field="challenger_share",
            )
        counts = np.stack([np.cumsum(here & in_challenger), np.cumsum(here & ~in_challenger)], axis=-1)
        path[1:] += log_dirichlet_factor(counts.astype(np.float64), np.array([theta, 1 - theta]), concentration)
    return path


@dataclass
class SampleRatioState:
    """What `sample_ratio_e_process` would have come to, a person at a time; `log_e`, `highest` in nats.

    One pair of counts a phase of the ramp, which are few; `pack` takes 32 bytes for each.
    """

    concentration: float = 100.0
    log_e: float = 0.0
    highest: float = 0.0
    counts: dict[int, list[float]] = field(default_factory=dict)
    """Phase: people in the challenger, in the control."""
    factors: dict[int, float] = field(default_factory=dict)
    """Phase: logarithm (nats) of its factor."""

    def update(self, in_challenger: bool, phase: int = 0, challenger_share: float = 0.5) -> float:
        """Count one more person, in order of arrival, and return the e-process, nats. `challenger_share` in (0, 1): how
        likely a counted person of this phase is in the challenger; the same for everybody of a phase."""
        if not 0 < challenger_share < 1:
            raise InvalidStatisticsInput(
                f"the challenger's share must lie strictly between 0 and 1, got {challenger_share} in phase {phase}",
                field="challenger_share",
            )
        here = self.counts.setdefault(phase, [0.0, 0.0])
        here[0 if in_challenger else 1] += 1
        shares = np.array([challenger_share, 1 - challenger_share])
        self.factors[phase] = float(log_dirichlet_factor(np.array(here), shares, self.concentration))
        self.log_e = float(sum(self.factors.values()))
        self.highest = max(self.highest, self.log_e)
        return self.log_e

    def pack(self) -> bytes:
        """The state as bytes, exactly."""
        rows = [(float(phase), *self.counts[phase], self.factors[phase]) for phase in self.counts]
        numbers = [self.log_e, self.highest, *(number for row in rows for number in row)]
        return struct.pack(f"<{len(numbers)}d", *numbers)

    @classmethod
    def unpack(cls, packed: bytes, concentration: float = 100.0) -> "SampleRatioState":
        """The state that was packed, with the same concentration."""
        log_e, highest, *rest = struct.unpack(f"<{len(packed) // 8}d", packed)
        state = cls(concentration, log_e, highest)
        for at in range(0, len(rest), 4):
            phase, challengers, controls, factor = rest[at : at + 4]
            state.counts[int(phase)], state.factors[int(phase)] = [challengers, controls], factor
        return state
