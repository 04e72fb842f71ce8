"""GrowthBook's hashing, for teams whose other software assigns by it: the same people get the same arms.

As GrowthBook's documentation for builders of SDKs describes it: FNV-1a of 32 bits over UTF-16 code units, taken modulo
1,000 (version 1) or, hashed twice, 10,000 (version 2); a namespace is a first hash by which experiments exclude each
other; `coverage` and weights become one range a variation, which starts where it starts at any coverage. So a growing
ramp moves nobody here either. Variation 0 is the control, the candidates follow.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from infra.contracts import Assignment, Experiment, arm_of

HashVersion = Literal[1, 2]
Range = tuple[float, float]

_OFFSET, _PRIME, _MASK = 0x811C9DC5, 0x01000193, 0xFFFFFFFF
GRID: dict[HashVersion, int] = {1: 1_000, 2: 10_000}
"""Different values a bucket can take."""


def fnv1a32(text: str, value: int = _OFFSET) -> int:
    """FNV-1a over UTF-16 code units, each taken whole: h = (h xor unit) * 16777619 mod 2^32. `value`: the hash of what
    stands before."""
    if text.isascii():
        for unit in text.encode():
            value = (value ^ unit) * _PRIME & _MASK
        return value
    units = text.encode("utf-16-le", "surrogatepass")
    for low, high in zip(units[::2], units[1::2], strict=True):
        value = (value ^ (low | high << 8)) * _PRIME & _MASK
    return value


def bucket_in(seed: str, version: HashVersion) -> Callable[[str], float]:
    """`bucket` for many people under one seed, whose own part of the hash is made once where it stands first."""
    if version == 1:
        return lambda value: fnv1a32(value + seed) % 1_000 / 1_000
    begun = fnv1a32(seed)
    return lambda value: fnv1a32(str(fnv1a32(value, begun))) % 10_000 / 10_000


def bucket(seed: str, value: str, version: HashVersion) -> float:
    """The person's place in [0, 1), a multiple of 1 / 1,000 (version 1) or 1 / 10,000 (version 2)."""
    return bucket_in(seed, version)(value)


def namespace_bucket(namespace: str, value: str) -> float:
    """The person's place in a namespace, in [0, 1)."""
    return bucket(f"__{namespace}", value, 1)


def ranges_of(variations: int, coverage: float, weights: Sequence[float] | None = None) -> list[Range]:
    """One range of buckets a variation, [low, high). Weights that are not one a variation, or do not add up to 1 within
    a hundredth, are taken as equal; coverage is held in [0, 1]."""
    equal = [1 / variations] * variations
    if weights is None or len(weights) != variations or not 0.99 <= sum(weights) <= 1.01:
        weights = equal
    covered, low, found = min(max(coverage, 0.0), 1.0), 0.0, list[Range]()
    for weight in weights:
        found.append((low, low + covered * weight))
        low += weight
    return found


def arm_ranges(experiment: Experiment) -> list[Range]:
    """Control first, then the candidates: equal weights, coverage (k + 1) share of the newest phase."""
    variations = len(experiment.candidates) + 1
    return ranges_of(variations, variations * experiment.phase.share)


def mass(found: Range, version: HashVersion) -> float:
    """The probability of a bucket in the range: buckets are a grid, so it is a multiple of 1 / 1,000 or 1 / 10,000."""
    grid = GRID[version]
    return sum(found[0] <= place / grid < found[1] for place in range(grid)) / grid


def outcomes(experiment: Experiment, version: HashVersion) -> tuple[list[tuple[Range, Assignment]], Assignment]:
    """(range, assignment) of every arm that has not been dropped, and the assignment of everybody else."""
    phase = experiment.phase
    named = [("control", experiment.control)]
    named += [(arm_of(index), adapter) for index, adapter in enumerate(experiment.candidates)]
    made = []
    left = 1.0
    for (arm, adapter), found in zip(named, arm_ranges(experiment), strict=True):
        if arm in experiment.dropped:
            continue
        share = mass(found, version)
        left -= share
        made.append((found, Assignment(experiment.experiment_id, arm, adapter, share, phase.index)))
    rest = Assignment(experiment.experiment_id, None, experiment.uncounted, max(left, 0.0), phase.index)
    return made, rest
