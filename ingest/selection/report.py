"""The report on who speaks: raw and corrected rates, bounds, effective sample size, and what those asked say."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from infra.statistics import Estimate
from ingest.selection.bounds import Bounds, explaining_gamma, odds_ratio_bounds, worst_case
from ingest.selection.evidence import ShownAnswers
from ingest.selection.model import Fitted
from ingest.selection.rates import Sample, rates
from ingest.selection.solicitation import solicited_rate


def sample_of(answers: ShownAnswers, fitted: Fitted, kept: Sequence[int]) -> Sample:
    """What the estimators take, of the answers numbered in `kept`."""
    model = fitted.model
    opinions = [answers.opinions[i] for i in kept]
    pairs = [(answers.covariates[i], answers.people[i]) for i in kept]
    return Sample(
        voted=np.array([opinion is not None for opinion in opinions], dtype=bool),
        opinions=np.array([np.nan if opinion is None else opinion for opinion in opinions]),
        propensity=np.array([model.propensity(*pair) for pair in pairs]),
        predicted=np.array([model.predicted_opinion(*pair) for pair in pairs]),
        people=np.unique([person for _, person in pairs], return_inverse=True)[1],
    )


def report(
    answers: ShownAnswers, fitted: Fitted, *, clip: float, gammas: Sequence[float], confidence: float
) -> dict[str, Any]:
    """The whole report, JSON types only. Rates and bounds are of the answers nobody was asked about; those asked are
    reported beside them, and say how much opinion matters for voting."""
    unasked = [i for i, probability in enumerate(answers.asked_with) if probability is None]
    sample = sample_of(answers, fitted, unasked)
    if not sample.voted.any():
        return {"shown": len(unasked), "votes": 0, "asked": _asked(answers, None, clip, confidence)}
    found = rates(sample, clip=clip, confidence=confidence)
    document: dict[str, Any] = {
        "shown": len(unasked),
        "votes": int(sample.voted.sum()),
        "people": len(np.unique(sample.people)),
        "confidence": confidence,
        "rates": {
            "likes per shown answer (raw)": _interval(found.likes_per_shown),
            "likes among voters (raw)": _interval(found.among_voters),
            "inverse propensity": _interval(found.inverse_propensity),
            "self-normalised": _interval(found.self_normalised),
            "doubly robust": _interval(found.doubly_robust),
        },
        "bounds": {
            "nothing assumed": _bounds(worst_case(sample, confidence=confidence)),
            **{
                f"odds ratio at most {gamma:g}": _bounds(
                    odds_ratio_bounds(sample, gamma, clip=clip, confidence=confidence)
                )
                for gamma in gammas
            },
        },
        "effective_sample_size": found.effective_sample_size,
        "clipped": found.clipped,
        "model": _quality(fitted),
    }
    document["asked"] = _asked(answers, sample, clip, confidence)
    return document


def _asked(answers: ShownAnswers, sample: Sample | None, clip: float, confidence: float) -> dict[str, Any] | None:
    asked = [i for i, probability in enumerate(answers.asked_with) if probability is not None]
    if not asked:
        return None
    opinions = [answers.opinions[i] for i in asked]
    found = solicited_rate(
        np.array([answers.asked_with[i] for i in asked], dtype=float),
        np.array([opinion is not None for opinion in opinions], dtype=bool),
        np.array([np.nan if opinion is None else opinion for opinion in opinions]),
        np.unique([answers.people[i] for i in asked], return_inverse=True)[1],
        confidence=confidence,
    )
    if found is None:
        return {"asked": len(asked), "answered": 0.0}
    return {
        "asked": found.asked,
        "answered": found.answered,
        "rate": _interval(found.rate),
        "low": found.low,
        "high": found.high,
        "effective_sample_size": found.effective_sample_size,
        "odds_ratio": None if sample is None else explaining_gamma(sample, found.rate.mean, clip=clip),
    }


def _quality(fitted: Fitted) -> dict[str, float]:
    return {
        "auroc": fitted.auroc,
        "brier": fitted.brier,
        "brier_skill": fitted.brier_skill,
        "raw_slope": fitted.raw_slope,
        "columns": len(fitted.model.space.names),
    }


def _interval(estimate: Estimate) -> dict[str, float | None]:
    """Infinite ends, which JSON has no notation for, become None."""
    low, high = (end if np.isfinite(end) else None for end in (estimate.low, estimate.high))
    return {"value": estimate.mean, "low": low, "high": high}


def _bounds(bounds: Bounds) -> dict[str, float]:
    return {"low": bounds.low, "high": bounds.high, "least": bounds.least, "most": bounds.most}
