"""The whole estimate on simulated people: attackers out, careless people lighter, a minority of another taste kept."""

import numpy as np
import pytest

from infra.settings.trust import TrustSettings
from ingest.trust.estimate import Estimate, Use, estimate
from ingest.trust.reasons import joined, reasons_of
from tests.benchmarks.trust_population import (
    CARELESS,
    MAJORITY,
    MINORITY,
    RING,
    Attack,
    Population,
    simulate,
)

SETTINGS = TrustSettings()


@pytest.fixture(scope="module")
def population() -> Population:
    return simulate(0, Attack(votes=120, targets=150), people=600, answers=700)


@pytest.fixture(scope="module")
def found(population: Population) -> Estimate:
    return estimate(population.evidence, SETTINGS)


def share_of_ring(population: Population, weight: np.ndarray) -> float:
    person = population.evidence.person
    mass = weight[person]
    return float(mass[population.role[person] == RING].sum() / mass.sum())


def squared_error(population: Population, weight: np.ndarray) -> float:
    evidence = population.evidence
    mass = weight[evidence.person]
    total = np.bincount(evidence.item, mass, evidence.items)
    likes = np.bincount(evidence.item, mass * evidence.value, evidence.items)
    voted = np.bincount(evidence.item, minlength=evidence.items) > 0
    estimated = np.where(total > 0, likes / np.maximum(total, 1e-9), likes.sum() / total.sum())
    return float(((estimated - population.truth)[voted] ** 2).mean())


def test_the_three_figures_of_the_room(population: Population, found: Estimate) -> None:
    """`tests.benchmarks.bench_trust` measures them at full size."""
    everybody = np.ones(population.evidence.people)
    assert squared_error(population, found.weight) < 0.7 * squared_error(population, everybody)
    assert share_of_ring(population, everybody) > 0.2
    assert share_of_ring(population, found.weight) < 0.02
    per_head = [found.weight[population.role == role].mean() for role in (MAJORITY, MINORITY, CARELESS)]
    assert per_head[1] > 0.85 * per_head[0]
    assert per_head[2] < 0.9 * per_head[0]
    np.testing.assert_array_equal(found.quarantined, population.role == RING)
    assert (found.weight[found.quarantined] == 0.0).all()


def test_the_same_votes_give_the_same_trust(population: Population, found: Estimate) -> None:
    again = estimate(population.evidence, SETTINGS)
    for name in ("weight", "reliability", "low", "high", "appeal", "taste"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))


def test_weights_and_intervals_are_in_range(found: Estimate) -> None:
    assert (found.weight >= 0).all()
    assert (found.weight <= 1).all()
    assert (found.low <= found.high).all()
    assert (found.appeal > 0).all()
    assert (found.appeal < 1).all()
    assert found.tastes.sum() == pytest.approx(1.0)


def test_everybody_of_a_ring_is_told_why(population: Population, found: Estimate) -> None:
    reasons = reasons_of(found, SETTINGS)
    for person in np.flatnonzero(population.role == RING):
        assert "agree with each other" in joined(reasons[person])
        assert f"{found.busiest[person]} votes within 7 days: together they weigh 30" in joined(reasons[person])
    trusted = np.flatnonzero((found.weight == 1.0) & (found.burst_share == 0))
    assert all(reasons[person] == () for person in trusted)


def test_one_taste_alone_would_silence_the_minority(population: Population, found: Estimate) -> None:
    """What the tastes are for: with a single one, agreement means conformity."""
    single = estimate(population.evidence, SETTINGS.model_copy(update={"max_tastes": 1}))
    minority = population.role == MINORITY
    assert single.weight[minority].mean() < 0.7 * single.weight[population.role == MAJORITY].mean()
    assert found.weight[minority].mean() > 1.3 * single.weight[minority].mean()


def test_parts_can_be_switched_off(population: Population) -> None:
    cap = estimate(population.evidence, SETTINGS, Use(rings=False, reliability=False))
    assert not cap.quarantined.any()
    np.testing.assert_allclose(cap.weight, np.minimum(1.0, 30.0 / np.maximum(cap.busiest, 1)))
    nothing = estimate(population.evidence, SETTINGS, Use(cap=False, rings=False, reliability=False))
    assert (nothing.weight == 1.0).all()


def test_teams_that_share_their_answers_are_no_rings() -> None:
    population = simulate(1, Attack(votes=60, targets=60), people=400, answers=500, teams=6)
    innocent = population.evidence.of(population.role != RING)
    found = estimate(innocent, SETTINGS)
    assert len(found.watched) > 0, "the teams are seen"
    assert found.rings == []
    assert not found.quarantined.any()
