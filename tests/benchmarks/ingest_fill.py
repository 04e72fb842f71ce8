"""A store with a past: events of the weeks before, three an answer, with the final label of each answer beside them.

The database makes the rows itself, out of their numbers: the same rows, with the same indexes kept as they go, as when
each is written by itself, in a tenth of the time. Ids grow with the number, as UUIDv7 grow with time, and lie before
everything a run adds. Text of every kind has the length it has in production; a user has a hundred events.
"""

from sqlalchemy import Connection, text

from infra.db import Database

ROWS_A_TRANSACTION = 300_000
_FIRST = 1.69e9
"""Unix seconds of the first event; a thousand a second follow."""
_WINDOW = 86400.0
_VALUES = '{"love":0.0,"sentiment":null,"dwell":0.5,"reuse":1.0,"share":0.0,"harm":0.0}'
_WEIGHTS = '{"love":1.0,"sentiment":0.0,"dwell":0.0,"reuse":1.0,"share":1.0,"harm":1.0}'

_EVENTS = """
INSERT INTO feedback_events (event_id, project, response_id, choice, signal, operation, value, text, other_response_id,
  other_choice, user_key, derived_at, received_at, source, device, solicited)
SELECT {event}, 'default', {answer}, 0, CASE {kind} WHEN 0 THEN 'shown' WHEN 1 THEN 'dwell' ELSE 'copy' END, 'set',
  CASE {kind} WHEN 1 THEN 12.5 END, NULL, NULL, 0, {user}, {at}, {at}, 'api', 'mobile', NULL
FROM numbers ORDER BY i
"""
_LABELS = """
INSERT INTO labels (project, response_id, choice, version, status, objective_values, weights, events_counted,
  config_hash, made_at, window_closes_at)
SELECT 'default', {answer}, 0, 1, 'final', {values}, {weights}, 3, '{hash}', {at}, {at} + {window}
FROM numbers WHERE {kind} = 0 ORDER BY i
"""


def fill(database: Database, rows: int) -> None:
    """Put `rows` events, and a final label for every third, into an empty store."""
    for start in range(0, rows, ROWS_A_TRANSACTION):
        with database.transaction() as connection:
            _write(connection, start, min(start + ROWS_A_TRANSACTION, rows))
    if database.dialect == "postgresql":
        with database.transaction() as connection:
            connection.execute(text("ANALYZE"))


def _write(connection: Connection, start: int, stop: int) -> None:
    sqlite = connection.dialect.name == "sqlite"

    def digits(number: str, width: int) -> str:
        return f"printf('%0{width}x', {number})" if sqlite else f"lpad(to_hex({number}), {width}, '0')"

    def id_of(number: str) -> str:
        parts = digits(f"({number} >> 12)", 4), digits(f"({number} & 4095)", 3), digits(f"({number})", 12)
        return f"{parts[0]} || '-7' || {parts[1]} || '-8000-' || {parts[2]}"

    document = (lambda value: f"'{value}'") if sqlite else (lambda value: f"'{value}'::jsonb")
    names = {
        "kind": "(i - i / 3 * 3)",
        "event": f"'018b0000-' || {id_of('i')}",
        "answer": f"'chatcmpl-018b0000-' || {id_of('(i / 3)')}",
        "user": digits("(i - i / 50000 * 50000)", 32),
        "at": f"({_FIRST!r} + i / 1000.0)",
        "values": document(_VALUES),
        "weights": document(_WEIGHTS),
        "hash": "0" * 64,
        "window": repr(_WINDOW),
    }
    numbers = (
        f"WITH RECURSIVE numbers(i) AS (SELECT {start} UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < {stop}) "
        if sqlite
        else f"WITH numbers AS (SELECT generate_series({start}, {stop - 1}) AS i) "
    )
    for statement in (_EVENTS, _LABELS):
        connection.exec_driver_sql(numbers + statement.format(**names))
