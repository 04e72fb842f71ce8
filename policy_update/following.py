"""`plaudit policy-update train` under `accelerate launch`: rank 0 runs the job, the others train along.

Whatever rank 0 trains it announces first; the others build the same trainer around models of their own and take their
share of its prompts, until they are told that nothing more comes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from infra.contracts import PlauditError
from infra.runtime.job import EXIT_FAILED
from infra.settings import Settings
from policy_update.plan import TrainingPlan
from policy_update.processes import Processes

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Announcement:
    """A training about to begin: its plan, the objectives with their weights, and the seed of a fresh adapter."""

    plan: TrainingPlan
    weights: dict[str, float]


def run_together(settings: Settings, lead: Callable[[], int]) -> int:
    """In every process: rank 0 does `lead()` and hands back its exit code, the others follow.

    Where `lead` fails, the launcher ends the other processes: they may be waiting in the middle of a step.
    """
    processes = Processes.join()
    if not processes.leads:
        follow(settings, processes)
        return 0
    code = lead()
    if code != EXIT_FAILED:
        processes.tell(None)
    return code


def follow(settings: Settings, processes: Processes) -> None:
    """Train along with rank 0 until it announces no more."""
    base: Any = None
    while True:
        told: Announcement | None = processes.tell(None)
        if told is None:
            return
        from policy_update.service import base_of, trainer_of

        base = base or base_of(settings)
        trainer = trainer_of(settings, base, told, processes)
        try:
            trainer.train(told.plan.prompts.training)
        except PlauditError as error:  # rank 0 has met the same and says what follows from it
            log.info("training_along_ended", error=str(error))
