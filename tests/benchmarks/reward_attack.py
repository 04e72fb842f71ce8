"""Accounts that act together among people who vote: reliability by person, and the model trained in spite of them.

340 people judge 10 pairs each, following s(x w) with |w| = 3 in 20 dimensions, x ~ N(0, I); one record in ten is
flipped. 20 accounts judge 30 pairs each. `inverted`: pairs like everybody's, always the contrary of the better answer.
`extreme`: planted pairs, 3 straight against the truth with a noise of 1/2 a dimension. Every pair is judged once: who
lies must be told by the model that these records help to make. `told` is Bradley-Terry without these accounts.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reward_model.objective_head import FitOptions
from reward_model.reliability import per_person, separation
from reward_model.utility_head import FittedUtility, UtilityOptions, fit_utility_head

Array = NDArray[np.float64]

ATTACKS = ("inverted", "extreme")
WIDTH, PEOPLE, VOTES, ACCOUNTS, PLANTED = 20, 340, 10, 20, 30
_OPTIONS = UtilityOptions(
    FitOptions((1e-3, 3e-3, 1e-2, 3e-2, 1e-1), 5, 0, 0), "huber_bt", (2.0, 4.0, 10.0, 100.0), 0.45
)


@dataclass(frozen=True)
class Defence:
    """One seed: accuracies of the order of 5,000 unseen pairs, AUROC of reliability, the flip rate and its truth."""

    bt: float
    huber_bt: float
    told: float
    area: float
    estimated: float
    realised: float


def defend(attack: str, seed: int) -> dict[str, float]:
    """Simulate, fit with `fit_utility_head`, and compare with the truth."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=WIDTH)
    direction *= 3.0 / np.linalg.norm(direction)
    x = rng.normal(size=(PEOPLE * VOTES, WIDTH))
    prefers = rng.random(len(x)) < 1.0 / (1.0 + np.exp(-x @ direction))
    flipped = rng.random(len(x)) < 0.1
    honest = x * np.where(prefers ^ flipped, 1.0, -1.0)[:, None]
    planted = rng.normal(size=(ACCOUNTS * PLANTED, WIDTH))
    if attack == "extreme":
        planted = -3.0 * direction / np.linalg.norm(direction) + 0.5 * planted
    else:
        planted *= -np.sign(planted @ direction)[:, None]
    rows = np.concatenate([honest, planted])
    people = [f"p{k}" for k in np.repeat(np.arange(PEOPLE), VOTES)]
    accounts = [f"a{k}" for k in np.repeat(np.arange(ACCOUNTS), PLANTED)]
    fitted = _fitted(rows, [*people, *accounts])
    test = rng.normal(size=(5000, WIDTH))
    if fitted.raters is None:
        raise RuntimeError("named people were taken for strangers")
    lies = float((1.0 / (1.0 + np.exp(planted @ direction))).sum())
    made = Defence(
        _accuracy(test, direction, fitted.plain),
        _accuracy(test, direction, fitted.parameters[0]),
        _accuracy(test, direction, _fitted(honest, None).plain),
        separation(per_person(fitted.judgments, fitted.raters), sorted(set(accounts))),
        fitted.estimate.flip_rate,
        (float(flipped.sum()) + lies) / len(rows),
    )
    return asdict(made)


def _fitted(rows: Array, people: list[str] | None) -> FittedUtility:
    count = len(rows)
    return fit_utility_head(
        torch.from_numpy(rows), np.ones(count), np.arange(count), np.arange(count, dtype=float), _OPTIONS, people=people
    )


def _accuracy(test: Array, direction: Array, w: torch.Tensor) -> float:
    return float((np.sign(test @ w.numpy()) == np.sign(test @ direction)).mean())
