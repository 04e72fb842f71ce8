"""Two specifications side by side: coverage, agreement and correlation of each objective over the same answers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from infra.contracts import PlauditError
from infra.runtime import Context
from ingest.specification.repository import LabelBeside, SpecificationRepository
from ingest.specification.versions import Specifications


class NoCandidate(PlauditError):
    """No second specification is enabled."""

    code = "no_candidate_specification"
    status = 409


@dataclass(frozen=True)
class Compared:
    """One objective. `answers` compared; with a value under the one in force, the candidate, and both; of those with
    both: share that agree to 1e-9, Pearson's correlation (None where either is constant), means, and total weights."""

    objective: str
    answers: int
    in_force: int
    candidate: int
    both: int
    agree: float | None
    correlation: float | None
    mean_in_force: float | None
    mean_candidate: float | None
    weight_in_force: float
    weight_candidate: float


def compare(labels: Iterable[LabelBeside]) -> list[Compared]:
    """Every objective of either specification, in alphabetical order."""
    rows = list(labels)
    names = sorted({name for row in rows for name in (*row.in_force, *row.candidate)})
    return [_one(name, rows) for name in names]


def compare_now(context: Context, limit: int) -> tuple[Specifications, list[Compared]]:
    """Both specifications of the configuration over the newest `limit` answers labelled by both. Raises NoCandidate."""
    specifications = Specifications.of(context.settings.ingest)
    if specifications.candidate is None:
        raise NoCandidate(
            "no candidate specification runs; set ingest.candidate_specification.enabled = true and wait for windows "
            "to close",
            field="ingest.candidate_specification.enabled",
        )
    with context.database.reading() as connection:
        repository = SpecificationRepository(connection, context.settings.project)
        return specifications, compare(repository.beside(specifications.candidate.config_hash, limit))


def _one(name: str, rows: list[LabelBeside]) -> Compared:
    ours = [row.in_force.get(name) for row in rows]
    theirs = [row.candidate.get(name) for row in rows]
    both = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    return Compared(
        objective=name,
        answers=len(rows),
        in_force=sum(value is not None for value in ours),
        candidate=sum(value is not None for value in theirs),
        both=len(both),
        agree=sum(abs(a - b) < 1e-9 for a, b in both) / len(both) if both else None,
        correlation=_correlation(both),
        mean_in_force=_mean([value for value in ours if value is not None]),
        mean_candidate=_mean([value for value in theirs if value is not None]),
        weight_in_force=math.fsum(row.in_force_weights.get(name, 0.0) for row in rows),
        weight_candidate=math.fsum(row.candidate_weights.get(name, 0.0) for row in rows),
    )


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _correlation(pairs: list[tuple[float, float]]) -> float | None:
    """Pearson's r; None where either side does not vary."""
    if len(pairs) < 2:
        return None
    a_mean, b_mean = (math.fsum(side) / len(pairs) for side in zip(*pairs, strict=True))
    aa = math.fsum((a - a_mean) ** 2 for a, _ in pairs)
    bb = math.fsum((b - b_mean) ** 2 for _, b in pairs)
    ab = math.fsum((a - a_mean) * (b - b_mean) for a, b in pairs)
    return ab / math.sqrt(aa * bb) if aa > 1e-18 and bb > 1e-18 else None
