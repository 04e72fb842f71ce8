"""`python -m tests.benchmarks.bench_trust`: what trust is worth on a simulated population, and where it fails.

Measures with the functions the trust job calls, and writes docs/benchmarks/trust.md. `--quick`: one seed of a
population a third as large, no page. `--seeds N`: so many seeds of the main table and the ablations (default 5).
"""

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from infra.settings.trust import TrustSettings
from ingest.trust.caps import busiest_window, cap_factors
from ingest.trust.estimate import Use, estimate
from ingest.trust.evidence import Evidence, Floats
from tests.benchmarks.trust_population import CARELESS, MAJORITY, MINORITY, RING, Attack, Population, simulate
from tests.benchmarks.trust_report import page, table

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "trust.md"
SETTINGS = TrustSettings()

ABLATIONS: tuple[tuple[str, Use], ...] = (
    ("nothing", Use(cap=False, rings=False, reliability=False)),
    ("cap", Use(cap=True, rings=False, reliability=False)),
    ("cap, reliability (EM)", Use(cap=True, rings=False, reliability=True)),
    ("cap, rings", Use(cap=True, rings=True, reliability=False)),
    ("all", Use()),
)

ATTACKS: tuple[Attack, ...] = (
    Attack("the plain one of the main table"),
    Attack("praise only", promote_only=True),
    Attack("no more votes than honest people: 30 each", votes=30),
    Attack("a trickle: 5 votes each on 50 answers", votes=5, targets=50),
    Attack("half of the votes look honest", camouflage=0.5),
    Attack("half look honest, five rings", camouflage=0.5, rings=5),
    Attack("half look honest, twenty rings of five", camouflage=0.5, rings=20),
    Attack("spread over 2,500 of the 3,000 answers", targets=2500),
    Attack("half look honest, one in ten aimed votes the other way", camouflage=0.5, targets=800, dissent=0.1),
    Attack("half look honest, one in five the other way", camouflage=0.5, targets=800, dissent=0.2),
    Attack("80 % look honest", camouflage=0.8),
    Attack("90 % look honest", camouflage=0.9),
)


@dataclass(frozen=True)
class Figures:
    """What one estimate came to. Errors: mean squared, over the answers that have a vote; `error_known`: of raw
    averages without the attackers' votes, as if they were known. Weights per head are relative to the majority's."""

    error_raw: float
    error: float
    error_known: float
    error_appeal: float
    share_raw: float
    share: float
    minority: float
    careless: float
    caught: float
    wronged: int
    tastes: int
    seconds: float

    @property
    def gain(self) -> float:
        """Share of the raw averages' error that is gone."""
        return 1.0 - self.error / self.error_raw

    @property
    def gain_appeal(self) -> float:
        """The same for the appeal that the model of tastes estimates."""
        return 1.0 - self.error_appeal / self.error_raw


def measure(population: Population, use: Use = Use()) -> Figures:  # noqa: B008
    """Estimate trust for a population and compare with the truth."""
    evidence, role = population.evidence, population.role
    started = time.perf_counter()
    weight, caught, appeal, tastes = _estimated(evidence, use)
    seconds = time.perf_counter() - started
    voted = np.bincount(evidence.item, minlength=evidence.items) > 0

    def error(estimated: Floats) -> float:
        return float(((estimated - population.truth)[voted] ** 2).mean())

    per_head = [float(weight[role == one].mean()) for one in (MAJORITY, MINORITY, CARELESS)]
    everybody, ring = np.ones(evidence.people), role == RING
    return Figures(
        error_raw=error(averages(population, everybody)),
        error=error(averages(population, weight)),
        error_known=error(averages(population, np.where(ring, 0.0, 1.0))),
        error_appeal=error(averages(population, weight) if appeal is None else appeal),
        share_raw=ring_share(population, everybody),
        share=ring_share(population, weight),
        minority=per_head[1] / per_head[0],
        careless=per_head[2] / per_head[0],
        caught=float(caught[ring].mean()),
        wronged=int(caught[~ring].sum()),
        tastes=tastes,
        seconds=seconds,
    )


def _estimated(evidence: Evidence, use: Use) -> tuple[Floats, Floats, Floats | None, int]:
    """Weights, who is in quarantine, the model's appeal, and how many tastes it has. Without rings and reliability
    there is no model: the weights are the caps."""
    if use.rings or use.reliability:
        found = estimate(evidence, SETTINGS, use)
        return found.weight, found.quarantined.astype(float), found.appeal, len(found.tastes)
    busiest = busiest_window(evidence.person, evidence.at, evidence.people, SETTINGS.cap_window_seconds)
    weight = cap_factors(busiest, SETTINGS.cap_votes) if use.cap else np.ones(evidence.people)
    return weight, np.zeros(evidence.people), None, 0


def averages(population: Population, weight: Floats) -> Floats:
    """(items,) weighted vote averages; an answer all of whose votes weigh nothing gets the average of all votes."""
    evidence = population.evidence
    mass = weight[evidence.person]
    total = np.bincount(evidence.item, mass, evidence.items)
    likes = np.bincount(evidence.item, mass * evidence.value, evidence.items)
    return np.where(total > 0.0, likes / np.maximum(total, 1e-12), likes.sum() / total.sum())


def ring_share(population: Population, weight: Floats) -> float:
    """The coordinated accounts' share of the weight of all votes."""
    person = population.evidence.person
    mass = weight[person]
    return float(mass[population.role[person] == RING].sum() / mass.sum())


def without_attack(population: Population) -> Population:
    """The same people without the coordinated accounts' votes."""
    return Population(population.evidence.of(population.role != RING), population.role, population.truth)


INNOCENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("nobody attacks", {}),
    ("ten teams of ten, each with forty answers of its own", {"teams": 10}),
    ("the minority is nearly the majority's opposite", {"cosine": -0.8}),
    ("no features: tastes from votes alone", {"featureless": True}),
)
"""Populations that nobody attacks, some of which look as if."""


class Task(NamedTuple):
    """One estimate to be made: its place in the page, and what it is made of."""

    table: str
    name: str
    seed: int
    use: Use = Use()
    attack: Attack | None = None
    attacked: bool = True
    more: dict[str, Any] = {}  # noqa: RUF012


def tasks(seeds: int) -> list[Task]:
    """Every estimate of the page, in its order."""
    few = range(min(seeds, 3))
    made = [Task("ablations", name, seed, use) for name, use in ABLATIONS for seed in range(seeds)]
    made += [Task("attacks", attack.name, seed, attack=attack) for attack in ATTACKS for seed in few]
    made += [Task("innocents", name, seed, attacked=False, more=more) for name, more in INNOCENTS for seed in few]
    return made


def perform(task: Task) -> Figures:
    """Simulate and measure one task."""
    population = simulate(task.seed, task.attack, **task.more)
    return measure(population if task.attacked else without_attack(population), task.use)


def everything(seeds: int, workers: int) -> dict[str, list[tuple[str, list[Figures]]]]:
    """All tables: name -> rows, each with the figures of its seeds."""
    found: dict[str, dict[str, list[Figures]]] = {"ablations": {}, "attacks": {}, "innocents": {}}
    todo = tasks(seeds)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for task, figures in zip(todo, pool.map(perform, todo), strict=True):
            found[task.table].setdefault(task.name, []).append(figures)
            numbers = {key: round(value, 4) for key, value in asdict(figures).items()}
            print(f"{task.table}: {task.name}, seed {task.seed}: gain {figures.gain:.1%} {numbers}", flush=True)
    return {name: list(rows.items()) for name, rows in found.items()}


def main() -> None:
    """Measure; write the page unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if options.quick:
        small = simulate(0, Attack(votes=120, targets=150), people=600, answers=700)
        print(table([(name, [measure(small, use)]) for name, use in ABLATIONS]))
        return
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(everything(options.seeds, options.workers)), encoding="utf-8")


if __name__ == "__main__":
    main()
