"""All SQL of the room."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, String, cast, func, insert, select, text, update

from infra.contracts import BASE_ADAPTER, AdapterVersion, Interaction
from infra.contracts.adapters import parse_ref
from infra.db.tables import adapters, experiments, interactions, labels, reward_models, serving_state, taints

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


def running_experiment(connection: Connection, project: str) -> tuple[str, str] | None:
    """(id, challenger) of the running challenge, or None; a holdback, or the sentinel, is no reason to wait."""
    query = select(experiments.c.experiment_id, experiments.c.challenger).where(
        experiments.c.project == project, experiments.c.status == "running", experiments.c.kind == "challenge"
    )
    row = connection.execute(query.limit(1)).one_or_none()
    return None if row is None else (str(row.experiment_id), str(row.challenger))


def waiting_challengers(connection: Connection, project: str) -> list[str]:
    """`name@version` of the adapters that passed the gate and wait for their experiment, oldest first."""
    c = adapters.c
    query = select(c.name, c.version).where(c.project == project, c.state == "challenger")
    return [f"{row.name}@{row.version}" for row in connection.execute(query.order_by(c.created_at, c.name, c.version))]


def first_of_its_cycle(connection: Connection, project: str, ref: str) -> bool:
    """Whether no experiment has decided on any candidate of this adapter's cycle yet."""
    row = adapter_row(connection, project, *parse_ref(ref))
    cycle = None if row is None else row["lineage"].get("cycle")
    if row is None or cycle is None:
        return True
    query = select(adapters.c.lineage).where(
        adapters.c.project == project,
        adapters.c.name == row["name"],
        adapters.c.state.in_(("champion", "retired", "rejected")),
    )
    return all(lineage.get("cycle") != cycle for lineage in connection.execute(query).scalars())


def trained_with(connection: Connection, project: str, reward_model: str) -> bool:
    """Whether an adapter has been trained against this reward model (`name@version`) and put before the gate.

    A candidate without a verdict is what a killed training left behind: it does not count, or the loop would wait for
    ever.
    """
    query = select(adapters.c.lineage).where(adapters.c.project == project, adapters.c.state != "candidate")
    return any(lineage.get("reward_model") == reward_model for lineage in connection.execute(query).scalars())


def last_training(connection: Connection, project: str) -> float | None:
    """When the newest adapter that came before the gate was made (Unix seconds), or None."""
    query = select(func.max(adapters.c.created_at)).where(
        adapters.c.project == project, adapters.c.state != "candidate"
    )
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else float(found)


def interactions_since(connection: Connection, project: str, since: float) -> int:
    """How many requests we answered ourselves after `since` (Unix seconds)."""
    c = interactions.c
    query = select(func.count()).where(c.project == project, c.source == "gateway", c.created_at > since)
    return int(connection.execute(query).scalar_one())


def final_labels_since(connection: Connection, project: str, since: float) -> int:
    """How many answers got a final label after `since` (Unix seconds), the first or a later version."""
    c = labels.c
    final = text("labels.version >= 1")  # literally: SQLite must see that its partial index covers it
    query = select(c.response_id, c.choice).where(c.project == project, final, c.made_at > since).distinct()
    return int(connection.execute(select(func.count()).select_from(query.subquery())).scalar_one())


def chain_to_base(connection: Connection, project: str, ref: str) -> list[RowMapping]:
    """Rows of an adapter and of all it was trained on top of, newest first; it ends at the base, or where a row is
    missing."""
    chain: list[RowMapping] = []
    while ref != BASE_ADAPTER and (row := adapter_row(connection, project, *parse_ref(ref))) is not None:
        if any(row["version"] == seen["version"] and row["name"] == seen["name"] for seen in chain):
            break  # a store that was mended by hand: no adapter is its own ancestor
        chain.append(row)
        ref = str(row["parent"])
    return chain


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


def cycles(connection: Connection, project: str, name: str) -> int:
    """How many cycles have made adapters of this name; each without a recorded cycle was one of its own."""
    query = select(adapters.c.version, adapters.c.lineage).where(adapters.c.project == project, adapters.c.name == name)
    return len({str(row.lineage.get("cycle", row.version)) for row in connection.execute(query)})


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


def logged_interactions(connection: Connection, project: str, limit: int) -> list[Interaction]:
    """The newest interactions of ours whose adapter nobody's erasure has tainted, newest first: what may be learned
    from as it was answered."""
    c, t = interactions.c, taints.c
    tainted_refs = select(t.name + "@" + cast(t.version, String)).where(t.project == project, t.kind == "adapter")
    query = (
        select(c.payload)
        .where(c.project == project, c.source == "gateway", c.adapter.not_in(tainted_refs))
        .order_by(c.created_at.desc())
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
