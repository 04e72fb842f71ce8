"""The utility head: as before on single judgments of strangers, better where people have names or pairs repeat."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit

from reward_model.heads import fit_utility
from reward_model.losses import NoiseParameters
from reward_model.objective_head import FitOptions
from reward_model.reliability import per_person, separation
from reward_model.utility_head import FittedUtility, UtilityOptions, fit_utility_head, newest_groups

Array = NDArray[np.float64]
OPTIONS = UtilityOptions(FitOptions((0.003, 0.03), 3, 0, 0), "huber_bt", (2.0, 100.0), 0.45)


def fitted(rows: Array, people: Sequence[str | None] | None = None, **more: object) -> FittedUtility:
    count = len(rows)
    return fit_utility_head(
        torch.from_numpy(rows),
        np.ones(count),
        np.arange(count),
        np.arange(count, dtype=float),
        OPTIONS,
        people=people,
        **more,  # type: ignore[arg-type]
    )


def world(seed: int, count: int, width: int = 5) -> tuple[Array, Array, np.random.Generator]:
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=width)
    return direction * 3.0 / np.linalg.norm(direction), rng.normal(size=(count, width)), rng


def accuracy(w: torch.Tensor, direction: Array) -> float:
    test = np.random.default_rng(99).normal(size=(4000, len(direction)))
    return float((np.sign(test @ w.numpy()) == np.sign(test @ direction)).mean())


def test_single_judgments_of_strangers_are_fitted_as_the_one_rate_form_says() -> None:
    direction, x, rng = world(0, 200)
    x *= np.where(rng.random(200) < expit(x @ direction), 1.0, -1.0)[:, None]
    found = fitted(x)
    assert found.raters is None
    noise = NoiseParameters(found.estimate.flip_rate, found.noise.threshold)
    rows, v = torch.from_numpy(x), torch.ones(200).double()
    by_hand = fit_utility(rows, v, found.l2, "huber_bt", noise, fit_utility(rows, v, found.l2))
    cosine = torch.nn.functional.cosine_similarity(by_hand, found.parameters[0], dim=0)
    assert float(cosine) == pytest.approx(1.0, abs=1e-6)
    assert torch.allclose(found.plain, fit_utility(rows, v, found.l2), atol=1e-6)


def test_accounts_that_lie_are_told_by_the_model_their_lies_help_to_make() -> None:
    direction, x, rng = world(1, 900)
    people = np.concatenate([np.repeat(np.arange(60), 10), np.repeat(np.arange(60, 70), 30)])
    honest = np.where(rng.random(900) < expit(x @ direction), 1.0, -1.0)
    x *= np.where(people < 60, honest, -np.sign(x @ direction))[:, None]
    found = fitted(x, [f"p{k}" for k in people])
    assert found.raters is not None
    reliable = per_person(found.judgments, found.raters)
    assert separation(reliable, [f"p{k}" for k in range(60, 70)]) >= 0.95
    assert accuracy(found.parameters[0], direction) > accuracy(found.plain, direction) + 0.02
    assert found.estimate.interval[0] <= found.estimate.flip_rate <= found.estimate.interval[1]


def test_a_planted_crowd_does_not_own_the_prior() -> None:
    """Few accounts, many extreme records: plain Bradley-Terry follows them, weighing people alike does not."""
    direction, x, rng = world(2, 600)
    x *= np.where(rng.random(600) < expit(x @ direction), 1.0, -1.0)[:, None]
    planted = -3.0 * direction / np.linalg.norm(direction) + 0.5 * rng.normal(size=(240, 5))
    people = [f"p{k}" for k in np.repeat(np.arange(60), 10)] + [f"a{k}" for k in np.repeat(np.arange(4), 60)]
    found = fitted(np.concatenate([x, planted]), people)
    assert accuracy(found.plain, direction) < 0.7
    assert accuracy(found.parameters[0], direction) > 0.9


def test_ties_and_weak_labels_teach_less_and_swapping_changes_nothing() -> None:
    direction, x, _ = world(3, 240)
    hard = x[:120] * np.where(x[:120] @ direction > 0, 1.0, -1.0)[:, None]
    tied = fitted(np.concatenate([hard, x[120:]]), soft=np.concatenate([np.ones(120), np.full(120, 0.5)]))
    assert accuracy(tied.parameters[0], direction) > 0.93
    turned = np.concatenate([-hard, x[120:]])
    again = fitted(turned, soft=np.concatenate([np.zeros(120), np.full(120, 0.5)]))
    assert torch.allclose(again.plain, tied.plain, atol=1e-4)


def test_the_newest_groups_are_whole() -> None:
    rows = newest_groups(np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([1.0, 9.0, 2, 2, 3, 3, 4, 4]), 0.25)
    assert rows.tolist() == [True, True, False, False, False, False, False, False]
