"""`python -m tests.benchmarks.bench_trust`: what trust is worth on a simulated population, and where it fails.

Measures with the functions the trust job calls, and writes docs/benchmarks/trust.md. `--quick`: one seed of a
population a third as large, no page. `--seeds N`: so many seeds of the main table and the ablations (default 5).
"""

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from infra.settings.trust import TrustSettings
from ingest.trust.estimate import Estimate, Use, estimate
from ingest.trust.evidence import Floats
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
    """What one estimate came to. Errors: mean squared, over the answers that have a vote. `per_head` weights are
    relative to the majority's."""

    error_raw: float
    error: float
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


def measure(population: Population, use: Use = Use()) -> tuple[Figures, Estimate]:  # noqa: B008
    """Estimate trust for a population and compare with the truth."""
    started = time.perf_counter()
    found = estimate(population.evidence, SETTINGS, use)
    seconds = time.perf_counter() - started
    evidence, role, weight = population.evidence, population.role, found.weight
    voted = np.bincount(evidence.item, minlength=evidence.items) > 0

    def error(estimated: Floats) -> float:
        return float(((estimated - population.truth)[voted] ** 2).mean())

    per_head = [float(weight[role == one].mean()) for one in (MAJORITY, MINORITY, CARELESS)]
    ring = role == RING
    figures = Figures(
        error_raw=error(averages(population, np.ones(evidence.people))),
        error=error(averages(population, weight)),
        error_appeal=error(found.appeal),
        share_raw=ring_share(population, np.ones(evidence.people)),
        share=ring_share(population, weight),
        minority=per_head[1] / per_head[0],
        careless=per_head[2] / per_head[0],
        caught=float(found.quarantined[ring].mean()),
        wronged=int(found.quarantined[~ring].sum()),
        tastes=len(found.tastes),
        seconds=seconds,
    )
    return figures, found


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


def innocents(seed: int) -> list[tuple[str, Population]]:
    """Populations that nobody attacks, some of which look as if."""
    return [
        ("nobody attacks", without_attack(simulate(seed))),
        ("ten teams of ten, each with forty answers of its own", without_attack(simulate(seed, teams=10))),
        ("the minority is nearly the majority's opposite", without_attack(simulate(seed, cosine=-0.8))),
        ("no features: tastes from votes alone", without_attack(simulate(seed, featureless=True))),
    ]


def everything(seeds: int) -> dict[str, list[tuple[str, list[Figures]]]]:
    """All tables: name -> rows, each with the figures of its seeds."""
    populations = [simulate(seed) for seed in range(seeds)]
    found: dict[str, list[tuple[str, list[Figures]]]] = {"ablations": [], "attacks": [], "innocents": []}
    for name, use in ABLATIONS:
        found["ablations"].append((name, [_told(name, measure(one, use)[0]) for one in populations]))
    few = range(min(seeds, 3))
    for attack in ATTACKS:
        rows = [_told(attack.name, measure(simulate(seed, attack))[0]) for seed in few]
        found["attacks"].append((attack.name, rows))
    for i, (name, _) in enumerate(innocents(0)):
        found["innocents"].append((name, [_told(name, measure(innocents(seed)[i][1])[0]) for seed in few]))
    return found


def _told(name: str, figures: Figures) -> Figures:
    numbers = {key: round(value, 4) for key, value in asdict(figures).items()}
    print(f"{name}: gain {figures.gain:.1%} {numbers}", flush=True)
    return figures


def main() -> None:
    """Measure; write the page unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    if options.quick:
        small = simulate(0, Attack(votes=120, targets=150), people=600, answers=700)
        rows = [(name, [measure(small, use)[0]]) for name, use in ABLATIONS]
        print(table(rows))
        return
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(everything(options.seeds)), encoding="utf-8")


if __name__ == "__main__":
    main()
