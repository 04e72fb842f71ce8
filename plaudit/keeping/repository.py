"""SQL of backup and restore: tables out and in, what the store says about files, and paths that move."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Connection, Table, select, text

from infra.db import insert_ignore_many
from infra.db.tables import adapters, consumer_offsets, metadata, serving_state

Grown = Callable[[int], None]
_ROWS = 5000


class StoredAdapter(NamedTuple):
    """An adapter as the store has it. `served`: it is the champion of a project, or the last one that was proven."""

    ref: str
    path: str
    file_hashes: Mapping[str, str]
    served: bool


def stored_adapters(connection: Connection) -> list[StoredAdapter]:
    """Every adapter of every project."""
    pointers = connection.execute(select(serving_state.c.champion, serving_state.c.last_proven)).all()
    served = {ref for row in pointers for ref in row if ref}
    table = adapters.c
    rows = connection.execute(select(table.name, table.version, table.path, table.file_hashes).order_by(table.name))
    return [
        StoredAdapter(ref := f"{row.name}@{row.version}", row.path, dict(row.file_hashes), ref in served)
        for row in rows
    ]


def offsets(connection: Connection, group: str) -> dict[tuple[str, str, int], int]:
    """(topic, identity, partition) -> next offset of a consumer group."""
    table = consumer_offsets.c
    rows = connection.execute(
        select(table.topic, table.topic_identity, table.partition, table.next_offset).where(
            table.consumer_group == group
        )
    )
    return {(row.topic, row.topic_identity, row.partition): int(row.next_offset) for row in rows}


def is_empty(connection: Connection) -> bool:
    """Whether no table of a migrated store has a row."""
    return not any(connection.execute(select(table).limit(1)).first() for table in metadata.sorted_tables)


def stored_bytes(connection: Connection) -> int:
    """About how many bytes the tables of a PostgreSQL store take, for a bar."""
    names = [table.name for table in metadata.sorted_tables]
    total = text("SELECT coalesce(sum(pg_table_size(c.oid)), 0) FROM pg_class c WHERE c.relname = ANY(:names)")
    return int(connection.execute(total, {"names": names}).scalar_one())


def dump_table(connection: Connection, table: Table, target: Path, grown: Grown) -> list[str]:
    """A PostgreSQL table into a file, in COPY's text format, which every version of the server reads; its columns."""
    names = [str(column.name) for column in table.columns]
    command = f"COPY {_quoted(table.name, names)} TO STDOUT"
    with target.open("wb") as file, _driver(connection).cursor() as cursor, cursor.copy(command) as copy:
        for block in copy:
            file.write(block)
            grown(len(block))
    return names


def load_table(connection: Connection, name: str, columns: Sequence[str], source: Path, grown: Grown) -> int:
    """The way back; the number of rows."""
    with source.open("rb") as file, _driver(connection).cursor() as cursor:
        with cursor.copy(f"COPY {_quoted(name, columns)} FROM STDIN") as copy:
            while block := file.read(256 * 1024):
                copy.write(block)
                grown(len(block))
        return int(cursor.rowcount)


def transfer(source: Connection, target: Connection, grown: Grown) -> dict[str, int]:
    """Every row of one store into another, empty one of the same revision, whatever their kinds; rows by table."""
    counts = {}
    for table in metadata.sorted_tables:
        names = [column.name for column in table.columns]
        rows = source.execution_options(yield_per=_ROWS).execute(select(table))
        counts[table.name] = 0
        for lot in _lots(rows):
            counts[table.name] += insert_ignore_many(target, table, names, lot)
            grown(len(lot))
    return counts


def move_paths(connection: Connection, before: str, after: str) -> int:
    """Point columns `path` from below one folder to below another; how many rows moved."""
    moved = 0
    for table in metadata.sorted_tables:
        if "path" not in table.columns:
            continue
        keys = list(table.primary_key)
        rows = connection.execute(select(*keys, table.c.path)).all()
        for row in rows:
            *key, path = row
            if (new := moved_path(path, before, after)) != path:
                found = table.update().values(path=new)
                for column, value in zip(keys, key, strict=True):
                    found = found.where(column == value)
                moved += connection.execute(found).rowcount
    return moved


def moved_path(path: str, before: str, after: str) -> str:
    """A path below `before` as one below `after`; any other path as it is."""
    if path == before or path.startswith(before.rstrip("/") + "/"):
        return after.rstrip("/") + path[len(before.rstrip("/")) :]
    return path


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


def _lots(rows: Any) -> Iterator[list[Any]]:
    rows = iter(rows)
    while lot := [tuple(row) for row in islice(rows, _ROWS)]:
        yield lot


def _quoted(table: str, columns: Sequence[str]) -> str:
    return f'"{table}" ({", ".join(f"{chr(34)}{name}{chr(34)}" for name in columns)})'
