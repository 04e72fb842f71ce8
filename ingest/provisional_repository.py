"""SQL of provisional labels as the consumer writes them: in the transaction of the events that make them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import text

from infra.db import upsert_many
from infra.db.tables.feedback import labels
from ingest.by_ids_repository import ByIdsRepository
from ingest.labels import Labelling
from ingest.provisional import PROVISIONAL_COLUMNS, LabelRow, Said

_SAID = ("objective_values", "weights", "events_counted", "heard")
_STANDING = text(
    "SELECT wanted.key, CASE WHEN version = 0 AND config_hash = :config_hash THEN coalesce(heard, 0)"
    " ELSE 0 END, labels.user_key FROM json_each(:ids) AS wanted CROSS JOIN labels"
    " WHERE project = :project AND labels.response_id = wanted.value AND choice = 0"
)
_SAID_TABLE = (
    "CREATE TEMP TABLE IF NOT EXISTS said"
    " (heard INTEGER PRIMARY KEY, objective_values TEXT, weights TEXT, events_counted INTEGER)"
)
# For each label by itself: over a list SQLite would first write down which rows there are, and then find each again.
_MOVE = (
    f"UPDATE labels SET {', '.join(f'{name} = ?' for name in (*_SAID, 'made_at'))}"  # noqa: S608
    " WHERE project = ? AND response_id = ? AND choice = 0 AND version = 0"
)
# One statement whatever the labels say, in the order of the answers: what one table after the other is grown at its end
# costs less than what is put in between, and makes fuller pages.
_FIRST = text(
    "INSERT INTO labels (project, response_id, choice, version, status, objective_values, weights, events_counted,"
    " config_hash, made_at, window_closes_at, heard, user_key)"
    " SELECT :project, response_id, 0, 0, 'provisional', objective_values, weights, events_counted,"
    " :config_hash, :made_at, created_at + :window, heard, substr(person.value, 1 + instr(person.value, ' '))"
    " FROM json_each(:voters) AS person CROSS JOIN interactions CROSS JOIN temp.said"
    " WHERE project = :project AND response_id = person.key AND created_at + :window > :made_at"
    " AND heard = CAST(person.value AS INTEGER)"
).execution_options(preserve_rowcount=True)


class ProvisionalRepository(ByIdsRepository):
    """Provisional labels of one project, on one connection."""

    def standing(self, responses: Sequence[str], config_hash: str) -> Sequence[Any]:
        """The labels of the first answers of these responses, on SQLite: (place in `responses`, bits, voter), the bits
        NOTHING unless the label can hear more without the ledger; of several of one response the provisional one first.
        Sorted responses are found sooner."""
        if not responses:
            return []
        parameters = {"project": self._project, "ids": self._list([*responses]), "config_hash": config_hash}
        with self._connection.execute(_STANDING, parameters) as result:
            return result.cursor.fetchall()

    def put_provisional(self, rows: Sequence[LabelRow], config_hash: str, *, windows_stand: bool) -> None:
        """Write labels made by `ingest.provisional`; what says nothing new is left alone, `made_at` included.

        `windows_stand`: the interactions are known, so labels that are there have the right window already. Leaving it
        out halves the cost of an update: the index of open windows is not touched. (Where the settings were changed
        meanwhile, an open window keeps its end.)
        """
        window = () if windows_stand else ("window_closes_at",)
        shared = {"project": self._project, "version": 0, "status": "provisional", "config_hash": config_hash}
        self._put_provisional(PROVISIONAL_COLUMNS, rows, shared, window)

    def put_first(
        self, heard: Mapping[str, Sequence[Any]], said: Mapping[int, Said], made_at: float, labelling: Labelling
    ) -> int:
        """Write labels of the first answers of these responses, which have none: {response: (bits, voter)}, best in
        order; `said`: what bits say. On SQLite; returns how many: there is none where the interaction is unknown, or
        its window over."""
        self._connection.exec_driver_sql(_SAID_TABLE)
        self._connection.exec_driver_sql("DELETE FROM temp.said")
        self._connection.exec_driver_sql(
            f"INSERT INTO temp.said ({', '.join(_SAID)}) VALUES (?, ?, ?, ?)",  # noqa: S608
            list(said.values()),
        )
        voters = {response: f"{bits} {voter}" for response, (bits, voter) in heard.items()}
        parameters = {
            "made_at": made_at, "project": self._project, "config_hash": labelling.config_hash,
            "window": labelling.window_seconds, "voters": msgspec.json.encode(voters).decode(),
        }  # fmt: skip
        return int(self._connection.execute(_FIRST, parameters).rowcount)

    def move_heard(self, heard: Mapping[str, int], said: Mapping[int, Said], made_at: float) -> None:
        """Write what labels say now that stand (`standing`, in this transaction): {response: bits}. On SQLite."""
        project = self._project
        rows = [(*said[bits], made_at, project, response) for response, bits in heard.items()]
        self._connection.exec_driver_sql(_MOVE, rows)

    def _put_provisional(
        self, columns: Sequence[str], rows: Sequence[LabelRow], shared: Mapping[str, Any], window: Sequence[str]
    ) -> None:
        changed = ("objective_values", "events_counted", "config_hash", "heard")
        upsert_many(
            self._connection,
            labels,
            columns,
            rows,
            update=(*changed, "weights", "made_at", "user_key", *window),
            if_changed=(*changed, *window),
            json_encoded=True,
            shared=shared,
        )
