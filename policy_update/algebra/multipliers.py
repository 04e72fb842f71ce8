"""Dual ascent: how much a limit on an objective costs is learned from how well it is kept."""

from collections.abc import Mapping


def update_multipliers(
    multipliers: Mapping[str, float],
    rates: Mapping[str, float],
    limits: Mapping[str, float],
    rate: float,
    ceiling: float = 10.0,
) -> dict[str, float]:
    """lambda_k <- clip(lambda_k + rate (rates_k - limits_k), 0, ceiling) (constrained GRPO, arXiv 2602.05863, sec. 4).

    `rates`: the measured mean cost of a rollout, `limits`: what it may be at most, by objective and in the same unit
    (0.02 = 2 % of answers). A limit whose rate is missing or NaN keeps its multiplier; one without a multiplier starts
    at 0.
    """
    moved = {}
    for name, limit in limits.items():
        now = multipliers.get(name, 0.0)
        excess = rates.get(name, limit) - limit
        moved[name] = min(max(now + rate * excess, 0.0), ceiling) if excess == excess else now
    return moved
