"""Brigading, and people who do not land in the arms as they should."""

from typing import Any

import numpy as np

from ab_testing.simulation import Histories, betting_test, rate_of, simulate
from ab_testing.simulation_people import steady
from infra.settings.ab_testing import AbTestingSettings
from infra.statistics import BettingDesign, log_dirichlet_factor, wilson_interval
from tests.benchmarks.experiments_usual import welch_sequence

PEOPLE, BRIGADE, VOTES = 4000, 20, 200
RATE, ANSWERS = 0.1, 10
SAMPLE_RATIO_PEOPLE = 100_000
CASES = ("brigading", "sample ratio")


def measure(name: str, runs: int) -> dict[str, Any]:
    """Figures of one attack."""
    return brigading(runs) if name == "brigading" else sample_ratio(runs)


def brigading(runs: int) -> dict[str, float]:
    """20 of 4,000 people like 200 answers each, whatever they are shown; the others like one in ten.

    A person counts once, whatever he or she sends. Also told: members who like nothing but the challenger's answers,
    which is a true preference of 20 people and no test can tell it from one, with and without the 20 most active.
    """
    tests = {"e": betting_test(BettingDesign(0.35))}

    def promoted(behaviour: str) -> float:
        return rate_of(simulate(lambda rng, n: _people(rng, n, behaviour), tests, runs, seed=8)["e"]).rate

    votes = simulate(_votes, {"per vote": welch_sequence}, max(runs // 50, 10), seed=8)["per vote"]
    return {
        "per_person_without": promoted("none"),
        "per_person": promoted("like everything"),
        "per_person_partisan": promoted("like the challenger"),
        "per_person_partisan_less_most_active": promoted("left out"),
        "per_vote": rate_of(votes).rate,
    }


def _people(rng: np.random.Generator, runs: int, behaviour: str) -> Histories:
    """People of whom BRIGADE, spread over the course, behave as told; `left out`: as if they had not been there."""
    shape = (runs, PEOPLE)
    arm = rng.random(shape, dtype=np.float32) < 0.5
    values = (rng.random(shape, dtype=np.float32) < RATE).astype(np.float64)
    members = np.argsort(rng.random(shape, dtype=np.float32), axis=1)[:, :BRIGADE]
    rows = np.arange(runs)[:, None]
    if behaviour == "like everything":
        values[rows, members] = 1.0
    elif behaviour == "like the challenger":
        values[rows, members] = arm[rows, members]
    elif behaviour == "left out":
        # The place of a member is taken by somebody who likes as the others do, and as often in either arm.
        values[rows, members] = rng.random(members.shape) < RATE
    return Histories(steady(PEOPLE, 0.5), arm, values)


def _votes(rng: np.random.Generator, runs: int) -> Histories:
    """The same experiment counted by votes: ten answers of everybody else, 200 of every member."""
    people = _people(rng, runs, "none")
    length = PEOPLE * ANSWERS
    arm = np.repeat(people.in_challenger, ANSWERS, axis=1)
    values = (rng.random((runs, length), dtype=np.float32) < RATE).astype(np.float64)
    where = rng.integers(0, length, (runs, BRIGADE * VOTES))
    rows = np.arange(runs)[:, None]
    arm[rows, where], values[rows, where] = True, 1.0
    return Histories(steady(length, 0.5), arm, values)


def sample_ratio(runs: int) -> dict[str, float]:
    """Alarms of the sample-ratio test (alpha .01, concentration 100) over 100,000 people, a look after everybody, and
    people to find 48/52. Product defaults."""
    rng, rules = np.random.default_rng(9), AbTestingSettings()
    boundary, prior = -np.log(rules.srm_alpha), rules.srm_concentration
    many = max(runs // 2, 100)
    alarms = sum(bool((_path(rng, 0.5, SAMPLE_RATIO_PEOPLE, prior) >= boundary).any()) for _ in range(many))
    found = []
    for _ in range(max(many // 5, 100)):
        reached = np.flatnonzero(_path(rng, 0.48, SAMPLE_RATIO_PEOPLE // 2, prior) >= boundary)
        found.append(reached[0] + 1 if reached.size else np.inf)
    upper = wilson_interval(alarms, many, confidence=0.9)[1]
    return {"runs": many, "alarms": alarms / many, "upper": upper, "median_people_48_52": float(np.median(found))}


def _path(rng: np.random.Generator, share: float, people: int, prior: float) -> np.ndarray:
    n = np.arange(1, people + 1, dtype=np.float64)
    challengers = np.cumsum(rng.random(people, dtype=np.float32) < share)
    counts = np.stack([challengers, n - challengers], axis=-1)
    return log_dirichlet_factor(counts, np.array([0.5, 0.5]), prior)
