"""How much evidence has come together: a cheap count that lets a job say, before it starts, what it waits for."""

from sqlalchemy import Connection, func, select, text

from infra.db.tables import labels


def final_labels_since(connection: Connection, project: str, since: float, enough: int) -> int:
    """Final labels made after `since`, counted no further than `enough`; reads one index."""
    c = labels.c
    some = (
        select(c.response_id)
        # Literally as the partial index says it, or the planner does not see that it may be used.
        .where(c.project == project, c.made_at > since, text("version >= 1"))
        .limit(enough)
        .subquery()
    )
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def waits_for_labels(connection: Connection, project: str, since: float, enough: int) -> str | None:
    """Why there is nothing to do yet: how many more windows have to close; None when there is."""
    count = final_labels_since(connection, project, since, enough)
    return None if count >= enough else f"not enough evidence: {enough - count} more windows have to close"
