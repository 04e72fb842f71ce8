"""All SQL of the room."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, func, insert, select, update

from infra.contracts import BASE_ADAPTER, AdapterVersion, Interaction
from infra.contracts.adapters import parse_ref
from infra.db.tables import adapters, experiments, interactions, reward_models, serving_state, taints

_decode = msgspec.msgpack.Decoder(Interaction).decode


def champion(connection: Connection, project: str) -> str:
    """The adapter everyone is served, `base` before any promotion."""
    query = select(serving_state.c.champion).where(serving_state.c.project == project)
    return str(connection.execute(query).scalar_one_or_none() or BASE_ADAPTER)


def champion_reward_model(connection: Connection, project: str, name: str) -> RowMapping | None:
    """The row of the reward model in use under this name, or None before any was good enough."""
    c = reward_models.c
    query = select(reward_models).where(c.project == project, c.name == name, c.state == "champion")
    return connection.execute(query).mappings().one_or_none()


def newest_reward_model(connection: Connection, project: str, name: str) -> RowMapping | None:
    """The newest version, champion or not, or None."""
    c = reward_models.c
    query = select(reward_models).where(c.project == project, c.name == name).order_by(c.version.desc()).limit(1)
    return connection.execute(query).mappings().one_or_none()


def running_experiment(connection: Connection, project: str) -> str | None:
    """Id of the running experiment, or None."""
    query = select(experiments.c.experiment_id).where(
        experiments.c.project == project, experiments.c.status == "running"
    )
    return connection.execute(query.limit(1)).scalar_one_or_none()


def waiting_challenger(connection: Connection, project: str) -> str | None:
    """`name@version` of an adapter that passed the gate and waits for its experiment, or None."""
    query = select(adapters.c.name, adapters.c.version).where(
        adapters.c.project == project, adapters.c.state == "challenger"
    )
    row = connection.execute(query.limit(1)).one_or_none()
    return f"{row.name}@{row.version}" if row else None


def trained_with(connection: Connection, project: str, reward_model: str) -> bool:
    """Whether an adapter has been trained against this reward model (`name@version`) and put before the gate.

    A candidate without a verdict is what a killed training left behind: it does not count, or the loop would wait for
    ever.
    """
    query = select(adapters.c.lineage).where(adapters.c.project == project, adapters.c.state != "candidate")
    return any(lineage.get("reward_model") == reward_model for lineage in connection.execute(query).scalars())


def tainted(connection: Connection, project: str, kind: str, ref: str) -> bool:
    """Whether somebody was erased whom this reward model or adapter (`name@version`) may have learned from."""
    name, version = parse_ref(ref)
    query = select(taints.c.name).where(
        taints.c.project == project, taints.c.kind == kind, taints.c.name == name, taints.c.version == version
    )
    return connection.execute(query.limit(1)).one_or_none() is not None


def next_version(connection: Connection, project: str, name: str) -> int:
    """The next unused version of an adapter name: versions are never reused."""
    query = select(func.max(adapters.c.version)).where(adapters.c.project == project, adapters.c.name == name)
    return int(connection.execute(query).scalar_one_or_none() or 0) + 1


def adapter_row(connection: Connection, project: str, name: str, version: int) -> RowMapping | None:
    """One adapter's row, or None."""
    query = select(adapters).where(
        adapters.c.project == project, adapters.c.name == name, adapters.c.version == version
    )
    return connection.execute(query).mappings().one_or_none()


def recent_conversations(connection: Connection, project: str, limit: int) -> Sequence[Interaction]:
    """The newest interactions that we answered ourselves, newest first."""
    query = (
        select(interactions.c.payload)
        .where(interactions.c.project == project, interactions.c.source == "gateway")
        .order_by(interactions.c.created_at.desc())
        .limit(limit)
    )
    return [_decode(payload) for payload in connection.execute(query).scalars()]


def add_adapter(connection: Connection, adapter: AdapterVersion) -> None:
    """Write a new adapter's row."""
    connection.execute(
        insert(adapters).values(
            project=adapter.project,
            name=adapter.name,
            version=adapter.version,
            path=adapter.path,
            base_model_hash=adapter.base_model_hash,
            file_hashes=adapter.file_hashes,
            fingerprint=msgspec.to_builtins(adapter.fingerprint),
            state=adapter.state,
            parent=adapter.parent,
            run_id=adapter.run_id,
            lineage=adapter.lineage,
            gate=adapter.gate,
            created_at=adapter.created_at,
        )
    )


def record_gate(
    connection: Connection, project: str, name: str, version: int, state: str, gate: Mapping[str, Any]
) -> None:
    """Write the gate's verdict on a candidate."""
    connection.execute(
        update(adapters)
        .where(adapters.c.project == project, adapters.c.name == name, adapters.c.version == version)
        .values(state=state, gate=dict(gate))
    )
