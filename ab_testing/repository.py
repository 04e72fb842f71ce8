"""SQL of experiments, the ledger, adapters' states and the champion pointer. Values: `values_repository`."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select, update

from infra.contracts import BASE_ADAPTER, Decision, Experiment, ExperimentKind, ExperimentStatus, Phase
from infra.contracts.adapters import AdapterState, parse_ref
from infra.db import Dialect, insert_ignore
from infra.db.tables import (
    adapter_proofs,
    adapters,
    breaker_trips,
    consumer_offsets,
    decisions,
    experiments,
    serving_state,
)


class ExperimentRepository:
    """One project's experiments, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def running(self, kind: ExperimentKind = "challenge") -> list[Experiment]:
        """The experiments of one kind that run, oldest first."""
        columns = experiments.columns
        query = (
            select(experiments)
            .where(columns.project == self._project, columns.status == "running", columns.kind == kind)
            .order_by(columns.started_at, columns.experiment_id)
        )
        return [_experiment(row) for row in self._connection.execute(query).mappings()]

    def newest(self) -> Experiment | None:
        """The challenge started last, running or not."""
        return self._one_experiment(experiments.columns.kind == "challenge", experiments.c.started_at.desc())

    def experiment(self, experiment_id: str) -> Experiment | None:
        """One experiment by its id."""
        return self._one_experiment(experiments.columns.experiment_id == experiment_id, experiments.c.started_at.asc())

    def insert(self, experiment: Experiment) -> None:
        """A new experiment."""
        row = msgspec.to_builtins(experiment)
        self._connection.execute(experiments.insert().values(**row))

    def set_phases(self, experiment: Experiment, phases: tuple[Phase, ...]) -> None:
        """Replace the ramp's phases."""
        self._update_experiment(experiment, phases=msgspec.to_builtins(phases))

    def end(self, experiment: Experiment, status: ExperimentStatus, ended_at: float) -> None:
        """The experiment is over."""
        self._update_experiment(experiment, status=status, ended_at=ended_at)

    def set_config(self, experiment: Experiment, config: dict[str, object]) -> None:
        """Replace what stands in the experiment's configuration."""
        self._update_experiment(experiment, config=config)

    def set_paused(self, experiment: Experiment, paused_at: float | None, config: dict[str, object]) -> None:
        """Pause, or take it back."""
        self._update_experiment(experiment, paused_at=paused_at, config=config)

    def trips(self, experiment_id: str) -> dict[str, tuple[str, ...]]:
        """Arm -> why gateways gave up on it by themselves, a line a replica."""
        columns = breaker_trips.columns
        rows = self._connection.execute(
            select(columns.arm, columns.replica, columns.reason)
            .where(columns.project == self._project, columns.experiment_id == experiment_id)
            .order_by(columns.arm, columns.replica)
        )
        found: dict[str, tuple[str, ...]] = {}
        for row in rows:
            found[row.arm] = (*found.get(row.arm, ()), f"{row.replica}: {row.reason}")
        return found

    def waiting_challengers(self, most: int = 1) -> list[str]:
        """The next `most` of the adapters that wait for an experiment: of the newest cycle those with the best gate
        gain, the earlier of equals. The others keep waiting: older cycles come when no newer one waits."""
        columns = adapters.columns
        rows = self._connection.execute(
            select(columns.name, columns.version, columns.lineage, columns.gate, columns.created_at)
            .where(columns.project == self._project, columns.state == "challenger")
            .order_by(columns.created_at, columns.name, columns.version)
        ).all()
        newest = {_cycle(row): row.created_at for row in rows}
        ordered = sorted(rows, key=lambda row: (newest[_cycle(row)], _gain(row.gate)), reverse=True)
        return [f"{row.name}@{row.version}" for row in ordered[:most] if _cycle(row) == _cycle(ordered[0])]

    def adapter_state(self, ref: str) -> str:
        """State of an adapter; `missing` when there is no such row."""
        state = self._connection.execute(select(adapters.columns.state).where(*self._adapter(ref))).scalar_one_or_none()
        return "missing" if state is None else str(state)

    def gate(self, ref: str) -> Mapping[str, Any]:
        """The gate document of an adapter; empty when there is no such row."""
        found = self._connection.execute(select(adapters.columns.gate).where(*self._adapter(ref))).scalar_one_or_none()
        return found if isinstance(found, dict) else {}

    def set_adapter_state(self, ref: str, state: AdapterState) -> None:
        """Move an adapter on; the base model has no row and no state."""
        if ref != BASE_ADAPTER:
            self._connection.execute(update(adapters).where(*self._adapter(ref)).values(state=state))

    def proofs(self, ref: str) -> list[tuple[str, str, dict[str, object], float]]:
        """(replica, status, detail, when) of every replica that tried to prove the adapter, its latest try."""
        columns = adapter_proofs.columns
        rows = self._connection.execute(
            select(columns.replica, columns.status, columns.detail, columns.proved_at)
            .where(columns.project == self._project, columns.adapter == ref)
            .order_by(columns.replica)
        )
        return [(row.replica, row.status, row.detail, row.proved_at) for row in rows]

    def champion(self) -> str | None:
        """What everybody is served; None before the state is bootstrapped."""
        columns = serving_state.columns
        query = select(columns.champion).where(columns.project == self._project)
        return self._connection.execute(query).scalar_one_or_none()

    def last_proven(self) -> str | None:
        """The champion before: stays loaded, so that going back is a pointer move."""
        columns = serving_state.columns
        query = select(columns.last_proven).where(columns.project == self._project)
        return self._connection.execute(query).scalar_one_or_none()

    def insert_state(self, dialect: Dialect, champion: str, now: float) -> None:
        """The champion pointer, unless there is one."""
        self._connection.execute(
            insert_ignore(serving_state, dialect).values(
                project=self._project, champion=champion, last_proven=champion, decision_id="", updated_at=now
            )
        )

    def move_champion(self, champion: str, last_proven: str, decision_id: str, now: float) -> None:
        """Point to another adapter."""
        self._connection.execute(
            update(serving_state)
            .where(serving_state.columns.project == self._project)
            .values(champion=champion, last_proven=last_proven, decision_id=decision_id, updated_at=now)
        )

    def last_decision(self, experiment_id: str | None = None) -> Decision | None:
        """The newest row of the ledger, or the newest about one experiment."""
        columns = decisions.columns
        query = select(decisions).where(columns.project == self._project)
        if experiment_id is not None:
            query = query.where(columns.experiment_id == experiment_id)
        row = self._connection.execute(query.order_by(columns.sequence.desc()).limit(1)).first()
        return None if row is None else _decision(row)

    def decisions(self, experiment_id: str | None = None) -> list[Decision]:
        """The ledger in order; of one experiment, or all of it."""
        query = select(decisions).where(decisions.columns.project == self._project)
        if experiment_id is not None:
            query = query.where(decisions.columns.experiment_id == experiment_id)
        return [_decision(row) for row in self._connection.execute(query.order_by(decisions.columns.sequence))]

    def ends(self) -> list[Decision]:
        """Rows of the ledger with which experiments begin, lose a candidate, or end, in order."""
        columns = decisions.columns
        kinds = ("start", "drop", "promote", "rollback", "stop", "abort")
        query = select(decisions).where(columns.project == self._project, columns.kind.in_(kinds))
        return [_decision(row) for row in self._connection.execute(query.order_by(columns.sequence))]

    def append(self, decision: Decision) -> None:
        """One more row. Fails on the primary key when another writer was first."""
        self._connection.execute(decisions.insert().values(**msgspec.to_builtins(decision)))

    def watermark(self, group: str, topics: dict[str, tuple[str, int]]) -> float | None:
        """The instant before which everything on `topics` (name -> identity, partitions) has been applied.

        None while some partition has never been read.
        """
        columns = consumer_offsets.columns
        instants: list[float] = []
        for topic, (identity, partitions) in topics.items():
            rows = self._connection.execute(
                select(columns.updated_at).where(
                    columns.consumer_group == group,
                    columns.topic == topic,
                    columns.topic_identity == identity,
                    columns.partition < partitions,
                )
            )
            found = list(rows.scalars())
            if len(found) < partitions:
                return None
            instants += found
        return min(instants, default=None)

    def _adapter(self, ref: str) -> tuple[Any, ...]:
        name, version = parse_ref(ref)
        columns = adapters.columns
        return columns.project == self._project, columns.name == name, columns.version == version

    def _one_experiment(self, condition: Any, order: Any) -> Experiment | None:
        query = select(experiments).where(experiments.columns.project == self._project, condition)
        row = self._connection.execute(query.order_by(order).limit(1)).mappings().first()
        return None if row is None else _experiment(row)

    def _update_experiment(self, experiment: Experiment, **values: Any) -> None:
        columns = experiments.columns
        self._connection.execute(
            update(experiments)
            .where(columns.project == self._project, columns.experiment_id == experiment.experiment_id)
            .values(**values)
        )


def _experiment(row: Mapping[Any, Any]) -> Experiment:
    return msgspec.convert(_plain(row, Experiment), Experiment)


def _cycle(row: Any) -> tuple[str, str]:
    """The training cycle an adapter comes from; one without a cycle is its own."""
    return str(row.name), str(row.lineage.get("cycle", row.version))


def _gain(gate: Mapping[str, Any]) -> float:
    """What the gate says a candidate surely gains; one that does not say comes last."""
    gain = gate.get("gain")
    return float(gain) if isinstance(gain, int | float) else float("-inf")


def _decision(row: Row[Any]) -> Decision:
    return msgspec.convert(_plain(row._mapping, Decision), Decision)


def _plain(row: Mapping[Any, Any], struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The struct's fields of a row, under plain keys (SQLAlchemy's are a subclass of str, which msgspec refuses)."""
    return {name: row[name] for name in struct.__struct_fields__}
