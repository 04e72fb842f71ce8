"""What must hold before anything is promoted, whatever an experiment says: this process finds effects that are there,
the sentinel has found none that is not, and nobody has paused promotion."""

from sqlalchemy import Connection

from ab_testing.self_test import failing
from ab_testing.sentinel import sentinel_alarm
from infra.runtime import Context
from infra.runtime.pauses_repository import pauses_of
from infra.runtime.pausing import LOOP, PROMOTION, told


def promotion_veto(context: Context, connection: Connection) -> str:
    """Why nothing may be promoted now, in one line, or "". The self-test runs once a process and configuration."""
    found = [f"the self-test failed: {fault}"] if (fault := failing(context.settings)) else []
    if alarm := sentinel_alarm(connection, context.settings.project):
        found.append(f"the sentinel has an alarm (plaudit ab-testing acknowledge): {alarm}")
    paused = pauses_of(connection, context.settings.project)
    found += [told(paused[subject]) for subject in (LOOP, PROMOTION) if subject in paused]
    return "; ".join(found)
