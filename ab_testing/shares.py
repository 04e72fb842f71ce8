"""The probabilities with which people were meant for an arm, as the router draws them. Pure.

A person counts in a comparison of two arms by the share of one among both, p_a / (p_a + p_b), in the phase of the first
exposure. In our own hashing arms are equally large, so that is 1/2; GrowthBook's buckets are a grid of 1,000 or 10,000
places, on which equal ranges hold up to one place more or less (.334, .333, .333): over many people that is a
sample-ratio mismatch to whoever expects 1/2.
"""

from functools import lru_cache

from ab_testing.growthbook import HashVersion, mass, ranges_of
from infra.contracts import Arm, Experiment
from infra.settings.ab_routing import HashMode

VERSIONS: dict[HashMode, HashVersion] = {"growthbook_v1": 1, "growthbook_v2": 2}


def arm_probability(experiment: Experiment, arm: Arm, phase: int, hash_mode: HashMode) -> float:
    """Probability of an arm, among the people that the experiment draws on, in a phase of its ramp (by index)."""
    share = experiment.phases[min(phase, len(experiment.phases) - 1)].share
    version = VERSIONS.get(hash_mode)
    # A sentinel splits people on paper, by our own hash in every mode.
    if version is None or experiment.kind == "sentinel":
        return share
    place = ["control", *(name for name in experiment.arms if name != "control")].index(arm)
    return _masses(len(experiment.candidates) + 1, share, version)[place]


def pair_share(experiment: Experiment, arm: Arm, other: Arm, phase: int, hash_mode: HashMode) -> float:
    """Probability of `arm` among the people of `arm` and `other`, in (0, 1)."""
    one = arm_probability(experiment, arm, phase, hash_mode)
    both = one + arm_probability(experiment, other, phase, hash_mode)
    # Where a grid has no place at all for one of them nobody is counted, and nothing depends on what is said here.
    return one / both if 0 < one < both else 0.5


@lru_cache(maxsize=256)
def _masses(variations: int, share: float, version: HashVersion) -> tuple[float, ...]:
    return tuple(mass(found, version) for found in ranges_of(variations, variations * share))
