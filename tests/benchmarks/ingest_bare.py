"""The bare limit: what decoding, the write to the ledger and the write to the log cost with nothing around them.

No HTTP, no checks, no user keys, no partitions, no labels, no repetitions looked for: bodies decoded into structs, rows
inserted with their two indexes in transactions of 5,000, record values appended durably in groups. Nothing that keeps
its promises can be cheaper on these parts; the product's figure stands beside it as a ratio.

Beside the limit and not in it: what the provisional labels of the same events cost, bare again. For each answer of a
transaction one row is inserted or updated, whose contents are known beforehand, in the product's table.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from infra.contracts import SystemClock
from infra.db import Database, insert_ignore_many, migrate
from infra.db.tables.feedback import feedback_events
from infra.event_log import Record, open_event_log
from infra.settings import Settings
from ingest.rows import LEDGER_COLUMNS
from ingest.segments import encode_segment, join_segments
from ingest.wire import WireEvent

TRANSACTION_ROWS = 5000
IN_FLIGHT = 8
Rows = list[tuple[object, ...]]
_INSERT_LABEL = (
    "INSERT INTO labels (project, response_id, choice, version, status, config_hash, window_closes_at, user_key,"
    " objective_values, weights, events_counted, heard, made_at)"
    " VALUES ('default', ?, 0, 0, 'provisional', '0123456789abcdef', 1.8e9, '', ?, ?, ?, ?, ?)"
)
_UPDATE_LABEL = (
    "UPDATE labels SET objective_values = ?, weights = ?, events_counted = ?, heard = ?, made_at = ?"
    " WHERE project = 'default' AND response_id = ? AND choice = 0 AND version = 0"
)


@dataclass(frozen=True)
class Bare:
    """CPU microseconds an event."""

    decode: float
    write: float
    log: float
    labels: float

    @property
    def total(self) -> float:
        """The limit: without labels."""
        return self.decode + self.write + self.log


def measure(bodies: list[bytes], batch: int) -> Bare:
    """One fresh run over the bodies of `batch` events each."""
    decoder = msgspec.json.Decoder(dict[str, list[WireEvent]])
    started = time.process_time()
    decoded = [decoder.decode(body)["events"] for body in bodies]
    decode = time.process_time() - started
    rows: Rows = [
        (e.event_id, e.response_id, 0, e.signal, "set", e.value, e.text, e.other_response_id, 0, f"{i % 50000:032x}",
         1.7e9 + i, e.device, None, "default", 1.7e9 + i, "api")
        for i, e in enumerate(event for events in decoded for event in events)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/store.sqlite3"
        migrate(url)
        database = Database.open(url)
        write = _written(database, rows)
        labels = _labelled(database, [str(row[1]) for row in rows])
        database.close()
        log = _appended(Path(folder), rows, batch)
    return Bare(*(1e6 * seconds / len(rows) for seconds in (decode, write, log, labels)))


def _written(database: Database, rows: Rows) -> float:
    started = time.process_time()
    for start in range(0, len(rows), TRANSACTION_ROWS):
        with database.transaction() as connection:
            lot = rows[start : start + TRANSACTION_ROWS]
            insert_ignore_many(connection, feedback_events, LEDGER_COLUMNS, lot)
    return time.process_time() - started


def _labelled(database: Database, answers: list[str]) -> float:
    """`answers`: the answer of each event."""
    said = ('{"love":1.0}', '{"love":1.0}', 1, 1, 1.7e9)
    seen: set[str] = set()
    lots: list[tuple[list[str], list[str]]] = []
    for start in range(0, len(answers), TRANSACTION_ROWS):
        lot = sorted(set(answers[start : start + TRANSACTION_ROWS]))
        lots.append(([one for one in lot if one not in seen], [one for one in lot if one in seen]))
        seen.update(lot)
    started = time.process_time()
    for new, known in lots:
        with database.transaction() as connection:
            if new:
                connection.exec_driver_sql(_INSERT_LABEL, [(one, *said) for one in new])
            if known:
                connection.exec_driver_sql(_UPDATE_LABEL, [(*said, one) for one in known])
    return time.process_time() - started


def _appended(folder: Path, rows: Rows, batch: int) -> float:
    log = open_event_log(Settings(data_dir=folder), SystemClock())
    log.ensure_topic("bare")
    lots = [[row[:13] for row in rows[start : start + batch]] for start in range(0, len(rows), batch)]
    started = time.process_time()
    flying = []
    for index, lot in enumerate(lots):
        value = join_segments([encode_segment("default", 1.7e9, "api", lot)])  # type: ignore[arg-type]
        flying.append(log.append("bare", [Record(b"key", value, index % 4)]))
        if len(flying) > IN_FLIGHT:
            flying.pop(0).result()
    for future in flying:
        future.result()
    seconds = time.process_time() - started
    log.close()
    return seconds
