"""Real clicks of Open Bandit (st-tech/zr-obp): one policy judged from what another one logged."""

import csv
import gzip
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra.statistics import (
    Estimate,
    always_valid_interval,
    doubly_robust_scores,
    effective_sample_size,
    inverse_propensity_scores,
    off_policy_interval,
    self_normalised_scores,
)

FOLDER = Path(os.environ.get("PLAUDIT_SHARED", "../shared")) / "data" / "open-bandit"
CAMPAIGNS = ("men", "women")
CLIP = 10.0


@dataclass(frozen=True)
class Log:
    """Impressions (n,): item shown, position, whether it was clicked, and the probability it was shown with."""

    items: NDArray[np.int64]
    positions: NDArray[np.int64]
    clicks: NDArray[np.float64]
    propensity: NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """The uniform policy's click rate: as estimated from the log of Thompson sampling, and as it was on its own log."""

    campaign: str
    estimates: dict[str, Estimate]
    always_valid: tuple[float, float]
    effective_sample_size: float
    on_policy: Estimate
    logged: float
    difference: float
    """Largest difference between any estimate and the formula written out with exact sums."""


def load(policy: str, campaign: str) -> Log:
    """One file: `policy` is `random` or `bts`."""
    with gzip.open(FOLDER / f"{policy}-{campaign}.csv.gz", "rt", newline="") as file:
        rows = [(r["item_id"], r["position"], r["click"], r["propensity_score"]) for r in csv.DictReader(file)]
    columns = np.array(rows, dtype=np.float64).T
    return Log(columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2], columns[3])


def judge(campaign: str) -> Judged:
    """The uniform policy from the log of the other, by every estimator."""
    log, random = load("bts", campaign), load("random", campaign)
    items = round(1 / float(random.propensity[0]))
    weights = 1 / items / log.propensity
    alone = np.arange(log.clicks.size)
    predicted, uniform = _cross_fitted(log, items)
    scores = {
        "IPS": inverse_propensity_scores(log.clicks, weights),
        "clipped": inverse_propensity_scores(log.clicks, weights, clip=CLIP),
        "SNIPS": self_normalised_scores(log.clicks, weights),
        "DR": doubly_robust_scores(log.clicks, weights, predicted, uniform),
    }
    estimates = {name: off_policy_interval(one, alone) for name, one in scores.items()}
    exact = formulas(list(log.clicks), list(weights), list(predicted), list(uniform))
    return Judged(
        campaign=campaign,
        estimates=estimates,
        always_valid=always_valid_interval(log.clicks, weights),
        effective_sample_size=effective_sample_size(weights),
        on_policy=off_policy_interval(random.clicks, np.arange(random.clicks.size)),
        logged=float(log.clicks.mean()),
        difference=max(abs(estimates[name].mean - exact[name]) for name in scores),
    )


def formulas(r: list[float], w: list[float], q_logged: list[float], q_new: list[float]) -> dict[str, float]:
    """The estimators as they are written down, one observation at a time, summed without rounding: the oracle."""
    n, pairs = len(r), list(zip(w, r, strict=True))
    return {
        "IPS": math.fsum(wi * ri for wi, ri in pairs) / n,
        "clipped": math.fsum(min(wi, CLIP) * ri for wi, ri in pairs) / n,
        "SNIPS": math.fsum(wi * ri for wi, ri in pairs) / math.fsum(w),
        "DR": math.fsum(qn + wi * (ri - ql) for wi, ri, ql, qn in zip(w, r, q_logged, q_new, strict=True)) / n,
    }


def _cross_fitted(log: Log, items: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(click rate of the logged item, mean over all items), of the other half of the log, shrunk to its mean."""
    half = np.arange(log.clicks.size) % 2
    logged, uniform = np.empty(log.clicks.size), np.empty(log.clicks.size)
    for k in (0, 1):
        other = half != k
        mean = float(log.clicks[other].mean())
        shown = np.bincount(log.items[other], minlength=items)
        rates = (np.bincount(log.items[other], log.clicks[other], items) + 50 * mean) / (shown + 50)
        logged[half == k], uniform[half == k] = rates[log.items[half == k]], rates.mean()
    return logged, uniform
