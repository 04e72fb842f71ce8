"""MLflow's own file after a move: it holds absolute places of artifacts. Losing it loses no decision."""

import sqlite3
from pathlib import Path

_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def move(file: Path, before: str, after: str) -> int:
    """Point artifacts and model versions from below one folder to below another; how many rows moved. Columns that
    this MLflow does not have are left out."""
    if before == after or not file.exists():
        return 0
    connection = sqlite3.connect(file)
    try:
        with connection:
            return sum(_moved(connection, table, column, before, after) for table, column in _COLUMNS)
    finally:
        connection.close()


def _moved(connection: sqlite3.Connection, table: str, column: str, before: str, after: str) -> int:
    if column not in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}:
        return 0
    moved = 0
    for prefix in ("", "file://"):
        old, new = f"{prefix}{before.rstrip('/')}/", f"{prefix}{after.rstrip('/')}/"
        statement = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"  # noqa: S608
        moved += connection.execute(statement, (new, len(old) + 1, len(old), old)).rowcount
    return moved
