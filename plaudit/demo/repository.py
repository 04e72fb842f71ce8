"""What the demo reads from the store while the system runs. Read-only: the demo changes nothing but through the API."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, case, func, select, true

from infra.db.tables import (
    adapter_proofs,
    adapters,
    dead_letters,
    decisions,
    experiments,
    feedback_events,
    interactions,
    job_runs,
    labels,
    pairs,
    reward_models,
    serving_state,
)

Row = RowMapping


def funnel(connection: Connection, project: str) -> dict[str, int]:
    """Counts from answer to label: what was served, shown, voted on, labelled; events by signal; dead letters."""
    counts = {
        "answers": _count(connection, interactions, project),
        "events": _count(connection, feedback_events, project),
        "pairs": _count(connection, pairs, project),
        "dead_letters": _count(connection, dead_letters, project),
    }
    final = select(func.count()).select_from(labels).where(labels.c.project == project, labels.c.status == "final")
    counts["final_labels"] = int(connection.execute(final).scalar_one())
    by_signal = (
        select(feedback_events.c.signal, func.count())
        .where(feedback_events.c.project == project)
        .group_by(feedback_events.c.signal)
    )
    counts |= {str(signal): int(number) for signal, number in connection.execute(by_signal)}
    return counts


def stored_event_ids(connection: Connection, project: str) -> list[str]:
    """Every event id in the ledger."""
    query = select(feedback_events.c.event_id).where(feedback_events.c.project == project)
    return [str(value) for value in connection.execute(query).scalars()]


def stored_response_ids(connection: Connection, project: str) -> list[str]:
    """Every answered request in the store."""
    query = select(interactions.c.response_id).where(interactions.c.project == project)
    return [str(value) for value in connection.execute(query).scalars()]


def newest_reward_model(connection: Connection, project: str) -> Row | None:
    """The newest reward model, or None."""
    query = select(reward_models).where(reward_models.c.project == project)
    return _first(connection, query.order_by(reward_models.c.created_at.desc()))


def newest_adapter(connection: Connection, project: str) -> Row | None:
    """The newest adapter, or None."""
    query = select(adapters).where(adapters.c.project == project)
    return _first(connection, query.order_by(adapters.c.created_at.desc()))


def newest_cycle(connection: Connection, project: str) -> Sequence[Row]:
    """The adapters of the newest adapter's cycle, in the order of their versions; empty before any."""
    newest = newest_adapter(connection, project)
    if newest is None:
        return []
    query = select(adapters).where(adapters.c.project == project, adapters.c.name == newest["name"])
    rows = list(connection.execute(query.order_by(adapters.c.version)).mappings())
    return [row for row in rows if row["lineage"].get("cycle") == newest["lineage"].get("cycle")]


def newest_experiment(connection: Connection, project: str) -> Row | None:
    """The newest experiment, or None."""
    query = select(experiments).where(experiments.c.project == project)
    return _first(connection, query.order_by(experiments.c.started_at.desc()))


def takes_traffic(connection: Connection, project: str, adapter: str) -> bool:
    """Whether a replica has proven the adapter, and so may answer with it."""
    query = select(func.count()).select_from(adapter_proofs).where(adapter_proofs.c.project == project)
    query = query.where(
        adapter_proofs.c.adapter == adapter, adapter_proofs.c.status.in_(("proven", "indistinguishable"))
    )
    return int(connection.execute(query).scalar_one()) > 0


def champion(connection: Connection, project: str) -> str:
    """The adapter everyone is served, `base` before any promotion."""
    query = select(serving_state.c.champion).where(serving_state.c.project == project)
    return str(connection.execute(query).scalar_one_or_none() or "base")


def ledger(connection: Connection, project: str) -> Sequence[Row]:
    """All decisions in order."""
    query = select(decisions).where(decisions.c.project == project).order_by(decisions.c.sequence)
    return list(connection.execute(query).mappings())


def newest_run(connection: Connection, project: str, job: str) -> Row | None:
    """The newest run of a job, its progress included; a run under way counts before an ended one."""
    under_way = case((job_runs.c.status == "running", 0), else_=1)
    query = select(job_runs).where(job_runs.c.project == project, job_runs.c.job == job)
    return _first(connection, query.order_by(under_way, job_runs.c.started_at.desc()))


def job_history(connection: Connection, project: str) -> Sequence[Row]:
    """Every run that did something (skipped ones left out), in order."""
    query = select(job_runs).where(job_runs.c.project == project, job_runs.c.status != "skipped")
    return list(connection.execute(query.order_by(job_runs.c.started_at)).mappings())


def milestones(connection: Connection, project: str) -> dict[str, float]:
    """Seconds from the first run of a job, which begins when the system is ready, to the first of each; what has not
    come yet is left out. A verdict is what ends an experiment or moves its ramp: neither its start nor a hold."""
    verdict = decisions.c.kind.not_in(("start", "hold"))
    asked: dict[str, tuple[Any, ColumnElement[bool]]] = {
        "answer": (interactions.c.created_at, true()),
        "feedback": (feedback_events.c.received_at, true()),
        "final label": (labels.c.made_at, labels.c.version >= 1),
        "reward model": (reward_models.c.created_at, true()),
        "adapter": (adapters.c.created_at, true()),
        "experiment": (experiments.c.started_at, experiments.c.kind == "challenge"),
        "decision": (decisions.c.decided_at, verdict),
    }
    first = select(func.min(job_runs.c.started_at)).where(job_runs.c.project == project)
    ready = connection.execute(first).scalar_one()
    found = {}
    for name, (at, which) in asked.items():
        seen = connection.execute(select(func.min(at)).where(at.table.c.project == project, which)).scalar_one()
        if seen is not None and ready is not None:
            found[name] = float(seen - ready)
    return found


def _count(connection: Connection, table: Any, project: str) -> int:
    return int(
        connection.execute(select(func.count()).select_from(table).where(table.c.project == project)).scalar_one()
    )


def _first(connection: Connection, query: Any) -> Row | None:
    row: Row | None = connection.execute(query.limit(1)).mappings().first()
    return row
