"""Microseconds an assignment: `python -m tests.benchmarks.bench_assignment`. Median and spread of several rounds.

The bare hash is measured beside it in the same round: it is what no router on this interpreter can go below.
"""

import statistics
import time
from collections.abc import Callable

from ab_testing.routing import assign, point
from infra.contracts import Experiment, Phase

USERS = [f"{n:032x}" for n in range(20_000)]
ROUNDS = 9


def microseconds(call: Callable[[str], object]) -> float:
    """Mean time of one call over all users."""
    start = time.perf_counter()
    for user in USERS:
        call(user)
    return (time.perf_counter() - start) / len(USERS) * 1e6


def main() -> None:
    """Measure and print."""
    experiment = Experiment(
        project="p", experiment_id="exp-1", challenger="style@2", control="base", salt="5f" * 16, status="running",
        phases=(Phase(0, 0.05, 0.0),), started_at=0.0,
    )  # fmt: skip
    assigned, hashed = [], []
    for _ in range(ROUNDS):
        assigned.append(microseconds(lambda user: assign(experiment, user)))
        hashed.append(microseconds(lambda user: point(experiment.salt, user)))
    for name, found in (("assign", assigned), ("hash alone", hashed)):
        print(f"{name:<11} median {statistics.median(found):.2f} us, {min(found):.2f} to {max(found):.2f}")


if __name__ == "__main__":
    main()
