"""SQL of interactions, the ledger, labels and pairs. (Offsets and dead letters: `ingest.log_repository`; provisional
labels as the consumer writes them: `ingest.provisional_repository`.)

Every method works on the connection it was built with: the unit of work belongs to the caller. Lists go in as one
parameter (json_each on SQLite, arrays on PostgreSQL), rows in and out as tuples.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import delete, literal_column, select, text

from infra.contracts import Interaction, Label, PreferencePair
from infra.db import insert_ignore_many, upsert_many
from infra.db.tables.feedback import feedback_events, interactions, labels, pairs
from ingest.by_ids_repository import ByIdsRepository
from ingest.labels import InteractionFacts
from ingest.ledger import Version
from ingest.provisional import LABEL_COLUMNS, Fact
from ingest.repository_rows import interaction_row, label_of, label_row, pair_row
from ingest.rows import DERIVED_AT, LEDGER_COLUMNS, LedgerRow

Answer = tuple[str, int]

_INTERACTION_COLUMNS = tuple(column.name for column in interactions.columns)
_PAIR_COLUMNS = tuple(column.name for column in pairs.columns)
_VERSION_COLUMNS = ", ".join(Version._fields)
_LEDGER = ", ".join(LEDGER_COLUMNS)
_TOLD = ", ".join("choice" if name == "text" else name for name in LEDGER_COLUMNS[: DERIVED_AT + 1])
"""In the order of a row; a small column stands in for the text, which may be long."""


class FeedbackRepository(ByIdsRepository):
    """Rows of one project, on one connection."""

    def insert_events(self, rows: Sequence[LedgerRow]) -> int:
        """Add rows to the ledger; one whose id is there stays as it is. Returns how many were new."""
        return insert_ignore_many(self._connection, feedback_events, LEDGER_COLUMNS, rows)

    def told(self, response_ids: Iterable[str]) -> Sequence[LedgerRow]:
        """What the ledger holds about these responses, as far as provisional labels need it: rows that end with
        `derived_at`, without texts."""
        return self._by_ids("feedback_events", "response_id", _TOLD, response_ids)

    def events(self, event_ids: Iterable[str]) -> dict[str, LedgerRow]:
        """The rows of the ledger with these ids."""
        return {row[0]: row for row in self._by_ids("feedback_events", "event_id", _LEDGER, event_ids)}

    def insert_interactions(self, items: Sequence[Interaction], now: float = 0.0) -> tuple[int, list[int]]:
        """Add interactions that are applied `now`, Unix seconds; returns as `insert_events` does."""
        rows = [interaction_row(item, now) for item in items]
        new = insert_ignore_many(self._connection, interactions, _INTERACTION_COLUMNS, rows)
        if new == len(rows):
            return new, []
        known = self._hashes("interactions", "response_id", [item.response_id for item in items])
        return new, [i for i, item in enumerate(items) if known[item.response_id] != rows[i][-1]]

    def versions(self, response_ids: Iterable[str], *, pairs_only: bool = False) -> dict[str, list[Version]]:
        """Every version in the ledger of these responses; responses without any are left out."""
        restriction = "AND signal IN ('duel', 'regenerate')" if pairs_only else ""
        found: dict[str, list[Version]] = defaultdict(list)
        columns = f"response_id, {_VERSION_COLUMNS}"
        for row in self._by_ids("feedback_events", "response_id", columns, response_ids, restriction):
            found[row[0]].append(Version._make(row[1:]))
        return found

    def facts(self, response_ids: Iterable[str]) -> dict[str, InteractionFacts]:
        """What labels need of the known interactions."""
        rows = self._by_ids("interactions", "response_id", "response_id, user_key, created_at, lengths", response_ids)
        return {row[0]: InteractionFacts(row[1], row[2], row[3]) for row in rows}

    def owners(self, response_ids: Iterable[str]) -> dict[str, Fact]:
        """What provisional labels need of the known interactions: (response_id, user_key, created_at) by response."""
        rows = self._by_ids("interactions", "response_id", "response_id, user_key, created_at", response_ids)
        return {row[0]: row for row in rows}

    def put_labels(self, made: Iterable[Label]) -> None:
        """Write labels; the provisional one of an answer is replaced."""
        upsert_many(self._connection, labels, LABEL_COLUMNS, [label_row(label) for label in made])

    def labelled(self, response_ids: Iterable[str]) -> set[Answer]:
        """The answers of these responses that have a final label."""
        rows = self._by_ids("labels", "response_id", "response_id, choice", response_ids, "AND version > 0")
        return {(row[0], row[1]) for row in rows}

    def final_labels(self, response_ids: Iterable[str]) -> dict[Answer, Label]:
        """The newest final label of each answer that has one."""
        columns = labels.columns
        rows = self._connection.execute(
            select(labels)
            .where(
                columns.project == self._project,
                columns.response_id.in_(sorted(response_ids)),
                columns.version > 0,
            )
            .order_by(columns.version)
        )
        return {(row.response_id, row.choice): label_of(row) for row in rows}

    def current_label(self, response_id: str, choice: int) -> tuple[Label | None, bool]:
        """(the newest final label, else the provisional one; whether later events wait to be counted)."""
        columns = labels.columns
        rows = self._connection.execute(
            select(labels)
            .where(columns.project == self._project, columns.response_id == response_id, columns.choice == choice)
            .order_by(columns.version)
        ).all()
        if not rows:
            return None, False
        return label_of(rows[-1]), rows[0].version == 0 and len(rows) > 1

    def due(self, closed_before: float, limit: int) -> list[Answer]:
        """Answers with a provisional label whose window closed at or before `closed_before`, oldest first.

        On PostgreSQL their rows stay locked until the commit, and rows another transaction holds are left for later: a
        consumer that adds an event meanwhile waits, and then finds its provisional label gone and makes a new one.
        """
        columns = labels.columns
        statement = (
            select(columns.response_id, columns.choice)
            .where(
                columns.project == self._project,
                literal_column("status = 'provisional'"),  # literally: see the index
                columns.window_closes_at <= closed_before,
            )
            .order_by(columns.window_closes_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return [(row.response_id, row.choice) for row in self._connection.execute(statement)]

    def delete_provisional(self, answers: Iterable[Answer]) -> None:
        """Remove provisional labels: they are now final."""
        columns = labels.columns
        for response_id, choice in answers:
            self._connection.execute(
                delete(labels).where(
                    columns.project == self._project,
                    columns.response_id == response_id,
                    columns.choice == choice,
                    columns.version == 0,
                )
            )

    def put_pairs(self, held: Iterable[PreferencePair], withdrawn_ids: Iterable[str], now: float) -> None:
        """Write the pairs that hold and mark those that no longer do."""
        rows = [pair_row(pair) for pair in held]
        upsert_many(self._connection, pairs, _PAIR_COLUMNS, rows, update=("user_key", "withdrawn_at"))
        if ids := sorted(withdrawn_ids):
            self._connection.execute(
                text(
                    f"UPDATE pairs SET withdrawn_at = :now WHERE project = :project AND pair_id {self._in}"  # noqa: S608
                    " AND withdrawn_at IS NULL"
                ),
                {"now": now, "project": self._project, "ids": self._list(ids)},
            )

    def _hashes(self, table: str, key: str, ids: Iterable[str]) -> dict[str, bytes]:
        return {row[0]: bytes(row[1]) for row in self._by_ids(table, key, f"{key}, content_hash", set(ids))}
