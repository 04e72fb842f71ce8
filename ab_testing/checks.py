"""What must hold before anything is promoted, whatever an experiment says: this process finds effects that are there,
and the sentinel has found none that is not."""

from sqlalchemy import Connection

from ab_testing.self_test import failing
from ab_testing.sentinel import sentinel_alarm
from infra.runtime import Context


def promotion_veto(context: Context, connection: Connection) -> str:
    """Why nothing may be promoted now, in one line, or "". The self-test runs once a process and configuration."""
    told = [f"the self-test failed: {fault}"] if (fault := failing(context.settings)) else []
    if alarm := sentinel_alarm(connection, context.settings.project):
        told.append(f"the sentinel has an alarm (plaudit ab-testing acknowledge): {alarm}")
    return "; ".join(told)
