"""SQL of the gate: logged answers people reacted to, and the second look at an adapter."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, and_, func, select, update

from infra.contracts import Interaction
from infra.db.tables import adapters, interactions, labels, reward_models
from policy_update.gating.logged import LoggedAnswer

_decode = msgspec.msgpack.Decoder(Interaction).decode


def logged_answers(connection: Connection, project: str, objective: str, limit: int) -> list[LoggedAnswer]:
    """At most `limit` of the newest answers of ours whose newest final label says something about `objective`."""
    c, i = labels.c, interactions.c
    newest = (
        select(c.response_id, c.choice, func.max(c.version).label("version"))
        .where(c.project == project, c.version > 0)
        .group_by(c.response_id, c.choice)
        .subquery()
    )
    same = and_(c.response_id == newest.c.response_id, c.choice == newest.c.choice, c.version == newest.c.version)
    query = (
        select(i.payload, c.choice, c.objective_values)
        .join(newest, same)
        .join(interactions, and_(i.project == c.project, i.response_id == c.response_id))
        .where(c.project == project, i.source == "gateway")
        .order_by(i.created_at.desc())
        .limit(limit)
    )
    found = []
    for payload, choice, values in connection.execute(query):
        if values.get(objective) is not None:
            found.append(LoggedAnswer(_decode(payload), int(choice), objective, float(values[objective])))
    return found


def reward_model_row(connection: Connection, project: str, name: str, version: int) -> RowMapping | None:
    """One reward model's row, or None."""
    c = reward_models.c
    query = select(reward_models).where(c.project == project, c.name == name, c.version == version)
    return connection.execute(query).mappings().one_or_none()


def known_adapters(connection: Connection, project: str) -> list[tuple[str, str]]:
    """(`name@version`, state) of all adapters, newest first."""
    c = adapters.c
    query = select(c.name, c.version, c.state).where(c.project == project).order_by(c.created_at.desc())
    return [(f"{row.name}@{row.version}", row.state) for row in connection.execute(query)]


def record_again(
    connection: Connection, project: str, name: str, version: int, gate: Mapping[str, Any], *, refuse: bool
) -> bool:
    """Write a second look beside the first; with `refuse`, a challenger that waits for its experiment is refused.
    Whether the state changed."""
    c = adapters.c
    own = and_(c.project == project, c.name == name, c.version == version)
    connection.execute(update(adapters).where(own).values(gate=dict(gate)))
    if not refuse:
        return False
    changed = connection.execute(update(adapters).where(own, c.state == "challenger").values(state="refused"))
    return changed.rowcount > 0
