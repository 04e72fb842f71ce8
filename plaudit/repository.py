"""What this package reads from the store: the rows that the registry projects."""

from sqlalchemy import Connection, select

from infra.db.tables import adapters, reward_models, serving_state
from infra.registry import RegisteredRow


def rows_for_registry(connection: Connection, project: str) -> list[RegisteredRow]:
    """Every adapter and reward model of a project, with the aliases that must point at it.

    Of adapters, `champion` and `previous` follow the champion pointer, `challenger` the adapter's state; of reward
    models `champion` follows the state and `newest` is the newest version (MLflow keeps `latest` to itself).
    """
    return [*_adapters(connection, project), *_reward_models(connection, project)]


def _adapters(connection: Connection, project: str) -> list[RegisteredRow]:
    pointer = connection.execute(
        select(serving_state.c.champion, serving_state.c.last_proven).where(serving_state.c.project == project)
    ).one_or_none()
    champion, previous = (pointer.champion, pointer.last_proven) if pointer is not None else ("", "")
    columns = (adapters.c.name, adapters.c.version, adapters.c.path, adapters.c.state, adapters.c.parent)
    more = (adapters.c.base_model_hash, adapters.c.run_id)
    statement = select(*columns, *more).where(adapters.c.project == project)
    found = connection.execute(statement.order_by(adapters.c.name, adapters.c.version))
    rows = []
    for name, version, path, state, parent, base_hash, run_id in found:
        ref = f"{name}@{version}"
        named = {"champion": ref == champion, "previous": ref == previous, "challenger": state == "challenger"}
        tags = {"plaudit.kind": "adapter", "plaudit.ref": ref, "plaudit.parent": parent}
        tags |= {"plaudit.base_model_hash": base_hash, "plaudit.run_id": run_id}
        rows.append(RegisteredRow(name, version, path, tags, tuple(alias for alias, holds in named.items() if holds)))
    return rows


def _reward_models(connection: Connection, project: str) -> list[RegisteredRow]:
    table = reward_models.c
    found = connection.execute(
        select(table.name, table.version, table.path, table.base_model_hash, table.data_hash, table.run_id, table.state)
        .where(table.project == project)
        .order_by(table.name, table.version)
    ).all()
    newest = {name: max(row.version for row in found if row.name == name) for name in {row.name for row in found}}
    return [
        RegisteredRow(
            row.name,
            row.version,
            row.path,
            {
                "plaudit.kind": "reward_model",
                "plaudit.ref": f"{row.name}@{row.version}",
                "plaudit.base_model_hash": row.base_model_hash,
                "plaudit.data_hash": row.data_hash,
                "plaudit.run_id": row.run_id,
            },
            tuple(
                alias
                for alias, holds in (("champion", row.state == "champion"), ("newest", row.version == newest[row.name]))
                if holds
            ),
        )
        for row in found
    ]
