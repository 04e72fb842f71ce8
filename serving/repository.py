"""All SQL of the room: what should be served, and the proofs of what is."""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Select, bindparam, select, tuple_, update

from infra.contracts import BASE_ADAPTER, AdapterRef, AdapterVersion, Arm, Experiment
from infra.contracts.adapters import parse_ref
from infra.db import Dialect, insert_ignore, upsert
from infra.db.tables import adapter_proofs, adapters, breaker_trips, experiments, interactions, serving_state

TURNS_LOOKED_AT = 200
"""Answers of one person among which a conversation's last turn is looked for."""


# What is asked several times a second, made once: making a statement costs more than SQLite takes to answer it.
_CHAMPION = select(serving_state.c.champion, serving_state.c.last_proven).where(
    serving_state.c.project == bindparam("project")
)
_RUNNING = (
    select(experiments)
    .where(
        experiments.c.project == bindparam("project"),
        experiments.c.status == "running",
        experiments.c.kind != "sentinel",
    )
    .order_by(experiments.c.started_at, experiments.c.experiment_id)
)
_REJECTED = select(adapters.c.name, adapters.c.version).where(
    adapters.c.project == bindparam("project"),
    adapters.c.name.in_(bindparam("names", expanding=True)),
    adapters.c.state.in_(("rejected", "refused")),
)
_TRIPS = select(breaker_trips.c.experiment_id, breaker_trips.c.arm).where(
    breaker_trips.c.project == bindparam("project"),
    breaker_trips.c.experiment_id.in_(bindparam("experiments", expanding=True)),
)


class ConversationTurn(NamedTuple):
    """What answered, and the arm in which it counted, if it did."""

    adapter: AdapterRef
    experiment: str | None
    arm: Arm | None


class ProofRow(NamedTuple):
    """What one replica says of one adapter. `status`: proven, indistinguishable, refused, failing or unloaded."""

    adapter: AdapterRef
    replica: str
    status: str
    detail: dict[str, Any]
    proved_at: float


class ServingRepository:
    """Rows of one project, over a connection that the caller commits."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def champion(self) -> tuple[AdapterRef, AdapterRef]:
        """(champion, last proven one before it); the base for both before the first promotion."""
        row = self._connection.execute(_CHAMPION, {"project": self._project}).first()
        return (row.champion, row.last_proven) if row else (BASE_ADAPTER, BASE_ADAPTER)

    def running_experiments(self) -> tuple[Experiment, ...]:
        """What runs now and is routed, oldest first: a sentinel splits the champion's people afterwards, on paper."""
        rows = self._connection.execute(_RUNNING, {"project": self._project}).mappings()
        return tuple(msgspec.convert(_plain(row), Experiment) for row in rows)

    def rejected(self, names: Iterable[str]) -> frozenset[AdapterRef]:
        """Adapters of these names (without versions) that were rolled back or refused."""
        wanted = sorted(names)
        if not wanted:
            return frozenset()
        rows = self._connection.execute(_REJECTED, {"project": self._project, "names": wanted})
        return frozenset(f"{name}@{version}" for name, version in rows)

    def trips(self, experiment_ids: Iterable[str]) -> frozenset[tuple[str, Arm]]:
        """(experiment, arm) that some replica has given up."""
        wanted = sorted(experiment_ids)
        if not wanted:
            return frozenset()
        rows = self._connection.execute(_TRIPS, {"project": self._project, "experiments": wanted})
        return frozenset((experiment_id, arm) for experiment_id, arm in rows)

    def write_trip(self, replica: str, experiment_id: str, arm: Arm, reason: str, at: float) -> None:
        """A breaker of this replica has opened; the first time stands."""
        row = {"project": self._project, "experiment_id": experiment_id, "arm": arm, "replica": replica}
        statement = insert_ignore(breaker_trips, self._dialect)
        self._connection.execute(statement.values(**row, reason=reason, tripped_at=at))

    def last_of_conversation(
        self, user_key: str, conversation_id: str, experiment_ids: Iterable[str]
    ) -> ConversationTurn | None:
        """The newest stored turn of a person's conversation, outside experiments or in one of those named; looked for
        among the person's `TURNS_LOOKED_AT` newest answers in each. Ids begin with a time."""
        found = [
            row
            for experiment_id in (None, *experiment_ids)
            for row in self._connection.execute(
                conversation_turns(self._project, user_key, conversation_id, experiment_id)
            )
        ]
        newest = max(found, key=lambda row: str(row.response_id), default=None)
        return None if newest is None else ConversationTurn(newest.adapter, newest.experiment, newest.arm)

    def adapter(self, ref: AdapterRef) -> AdapterVersion | None:
        name, version = parse_ref(ref)
        query = select(adapters).where(
            adapters.c.project == self._project, adapters.c.name == name, adapters.c.version == version
        )
        row = self._connection.execute(query).mappings().first()
        return _adapter(row) if row else None

    def adapters_on(self, base_model_hash: str) -> list[AdapterVersion]:
        """Every adapter ever trained on this base: the rivals of a proof."""
        query = select(adapters).where(
            adapters.c.project == self._project, adapters.c.base_model_hash == base_model_hash
        )
        return [_adapter(row) for row in self._connection.execute(query).mappings()]

    def write_proof(self, replica: str, ref: AdapterRef, status: str, detail: dict[str, Any], at: float) -> None:
        """The state of one adapter on one replica: see `ProofRow`."""
        row = {"project": self._project, "replica": replica, "adapter": ref}
        values = {**row, "status": status, "detail": detail, "proved_at": at}
        self._connection.execute(upsert(adapter_proofs, self._dialect).values(values))

    def identities(self, refs: Iterable[AdapterRef]) -> dict[AdapterRef, dict[str, str]]:
        """SHA-256 by file of each of these adapters that the store knows."""
        columns, named = adapters.c, [parse_ref(ref) for ref in refs]
        query = select(columns.name, columns.version, columns.file_hashes).where(
            columns.project == self._project, tuple_(columns.name, columns.version).in_(named)
        )
        return {f"{row.name}@{row.version}": row.file_hashes for row in self._connection.execute(query)}

    def adapters_given_up(self, before: float) -> list[AdapterVersion]:
        """Adapters made before the instant that were refused, rejected or retired, oldest first."""
        query = (
            select(adapters)
            .where(
                adapters.c.project == self._project,
                adapters.c.state.in_(("refused", "rejected", "retired")),
                adapters.c.created_at < before,
            )
            .order_by(adapters.c.created_at)
        )
        return [_adapter(row) for row in self._connection.execute(query).mappings()]

    def arms_not_ended(self) -> frozenset[AdapterRef]:
        """Every adapter of an experiment, whatever its kind, that has not ended."""
        query = select(experiments).where(experiments.c.project == self._project, experiments.c.ended_at.is_(None))
        rows = self._connection.execute(query).mappings()
        found = [msgspec.convert(_plain(row), Experiment) for row in rows]
        return frozenset(ref for one in found for ref in (one.control, one.uncounted, *one.arms.values()))

    def forget_proofs(self, replica: str, reason: str, at: float, of: Collection[str] = ()) -> None:
        """A replica that starts, or has gone, has proven nothing: `reason` says which. `of`: only rows of these
        statuses; without any, all of its rows."""
        statement = update(adapter_proofs).where(
            adapter_proofs.c.project == self._project, adapter_proofs.c.replica == replica
        )
        if of:
            statement = statement.where(adapter_proofs.c.status.in_(sorted(of)))
        self._connection.execute(statement.values(status="unloaded", detail={"reason": reason}, proved_at=at))

    def standing_proofs(self) -> list[ProofRow]:
        """What every replica last said of every adapter, by adapter and replica."""
        columns = adapter_proofs.c
        query = (
            select(columns.adapter, columns.replica, columns.status, columns.detail, columns.proved_at)
            .where(columns.project == self._project)
            .order_by(columns.adapter, columns.replica)
        )
        return [ProofRow(*row) for row in self._connection.execute(query)]

    @property
    def _dialect(self) -> Dialect:
        return "sqlite" if self._connection.dialect.name == "sqlite" else "postgresql"


def conversation_turns(
    project: str, user_key: str, conversation_id: str, experiment_id: str | None
) -> Select[tuple[str, str, str | None, str | None]]:
    """What answered the turns of one person's conversation, in one experiment or outside all.

    In two steps: the person's newest ids by the index of (project, experiment, user_key), which holds them in order,
    then their rows by primary key. Asked at once, SQLite would read the whole project.
    """
    columns, by_person = interactions.c, interactions.alias("by_person").c
    newest = (
        select(by_person.response_id)
        .where(by_person.project == project, by_person.experiment == experiment_id, by_person.user_key == user_key)
        .order_by(by_person.response_id.desc())
        .limit(TURNS_LOOKED_AT)
    )
    return select(columns.response_id, columns.adapter, columns.experiment, columns.arm).where(
        columns.project == project,
        columns.response_id.in_(newest),
        columns.conversation_id == conversation_id,
        columns.source != "duel",  # of a duel one answer may be by another adapter than the conversation's
    )


def _adapter(row: Any) -> AdapterVersion:
    return msgspec.convert(_plain(row), AdapterVersion)


def _plain(row: Any) -> dict[str, Any]:
    """A row with keys that are `str` itself: SQLAlchemy's are a subclass, which msgspec does not take."""
    return {str(name): value for name, value in row.items()}
