"""SQL of pauses: what a person has stopped, and may let go on."""

from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from infra.db import Dialect, insert_ignore
from infra.db.tables import pauses


class Pause(NamedTuple):
    """`subject`: `loop`, `promotion` or a job's name; `paused_at`: Unix seconds."""

    subject: str
    actor: str
    reason: str
    paused_at: float


def pauses_of(connection: Connection, project: str) -> dict[str, Pause]:
    """Everything that is paused, by subject."""
    columns = pauses.c
    query = select(columns.subject, columns.actor, columns.reason, columns.paused_at)
    rows = connection.execute(query.where(columns.project == project).order_by(columns.subject))
    return {row.subject: Pause(*row) for row in rows}


def insert_pause(connection: Connection, project: str, pause: Pause) -> bool:
    """Write a pause; False when the subject is paused already: the first one stands."""
    dialect: Dialect = "sqlite" if connection.dialect.name == "sqlite" else "postgresql"
    statement = insert_ignore(pauses, dialect).values(project=project, **pause._asdict())
    return connection.execute(statement.returning(pauses.c.subject)).first() is not None


def delete_pause(connection: Connection, project: str, subject: str) -> bool:
    """Let the subject go on; False when it was not paused."""
    own = (pauses.c.project == project) & (pauses.c.subject == subject)
    return connection.execute(delete(pauses).where(own).returning(pauses.c.subject)).first() is not None
