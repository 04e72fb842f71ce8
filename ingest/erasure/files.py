"""Bytes on disk: SQLite files whose freed pages still speak, caches of features, everything else in the data folder.

Deleting a row frees its page; the bytes stay in the file and in its write-ahead log until something overwrites them.
"""

import json
import mmap
import sqlite3
import struct
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import quote

from infra.contracts import PlauditError
from infra.event_log.spooling.claiming import frames_waiting, left_behind
from infra.settings import Settings

CHECKPOINT_SECONDS = 10.0
"""How long to wait for readers before the write-ahead log can be emptied."""
_MAX_HEADER = 100 * 1024 * 1024


class FileBusy(PlauditError):
    """A reader kept a SQLite file from being cleaned."""

    code = "file_busy"
    status = 503


def sqlite_files(settings: Settings) -> list[Path]:
    """The store and the embedded log, as far as they are files."""
    from sqlalchemy import make_url

    url = make_url(settings.store_url)
    store = [Path(str(url.database))] if url.get_backend_name() == "sqlite" else []
    return [path for path in [*store, settings.data_dir / "log.sqlite3"] if path.exists()]


def spools_move_on(settings: Settings) -> bool:
    """Wait until nothing is left in the spools of what waits there now: it is on the log then, which can be redacted.
    False after CHECKPOINT_SECONDS, as when the log is away."""
    folder = settings.data_dir / "spool"
    waiting = frames_waiting(folder)
    deadline = time.monotonic() + CHECKPOINT_SECONDS
    while waiting and time.monotonic() < deadline:
        time.sleep(0.05)
        waiting &= frames_waiting(folder)
    return not waiting


def spooled(settings: Settings, needles: Collection[bytes]) -> list[Path]:
    """Spool files that hold a needle."""
    return [path for path in left_behind(settings.data_dir / "spool") if holds(path, needles)]


def scrub(path: Path, needles: Collection[bytes]) -> bool:
    """Empty the write-ahead log into the file, and if any needle is still found, write the file anew (VACUUM).

    True when nothing is found any more. VACUUM holds writers back for about a second per 100 MB. Raises FileBusy.
    """
    _checkpoint(path)
    if not any(holds(part, needles) for part in _parts(path)):
        return True
    vacuum(path)
    return not any(holds(part, needles) for part in _parts(path))


def vacuum(path: Path) -> None:
    """Write a SQLite file anew without anything that was deleted. Raises FileBusy."""
    connection = _connect(path)
    try:
        connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        raise FileBusy(f"{path} cannot be written anew: {error}; try again when nothing reads it for long") from error
    finally:
        connection.close()
    _checkpoint(path)


def holds(path: Path, needles: Collection[bytes]) -> bool:
    """Whether any needle stands in the file's bytes."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(needle) >= 0 for needle in needles)
    except (ValueError, FileNotFoundError):  # empty, or gone meanwhile
        return False


def files_holding(folder: Path, needles: Collection[bytes]) -> list[Path]:
    """Files below the folder that hold any needle, in whatever format, compressed ones aside."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and holds(path, needles)) if needles else []


def forget_features(settings: Settings, keys: Collection[str]) -> int:
    """Delete segments of the feature cache that hold rows of these content keys; the others' rows in them are computed
    again when they are needed. Returns how many were deleted."""
    folder = settings.data_dir / "feature_cache"
    doomed = [path for path in folder.glob("**/*.safetensors") if not set(keys).isdisjoint(_cached(path))]
    for path in doomed:
        path.unlink(missing_ok=True)
    return len(doomed)


def _cached(path: Path) -> Iterator[str]:
    """The content keys of a segment, read from the header of the safetensors file (8 bytes of length, then JSON)."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= _MAX_HEADER else {}
        yield from json.loads(header.get("__metadata__", {}).get("keys", "[]"))
    except (OSError, ValueError, struct.error):
        return  # a damaged segment is read by nobody


def _parts(path: Path) -> list[Path]:
    return [path, path.with_name(path.name + "-wal")]


def _checkpoint(path: Path) -> None:
    connection = _connect(path)
    try:
        deadline = time.monotonic() + CHECKPOINT_SECONDS
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise FileBusy(f"{path} was read for {CHECKPOINT_SECONDS:g} s without a pause; try again later")
            time.sleep(0.05)
    except sqlite3.OperationalError as error:
        raise FileBusy(f"{path} cannot be cleaned: {error}; try again later") from error
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    place = f"file:{quote(str(path.absolute()))}?mode=rw"  # a spool may be gone by now: it must not be made anew
    try:
        connection = sqlite3.connect(place, uri=True, timeout=CHECKPOINT_SECONDS, isolation_level=None)
    except sqlite3.OperationalError as error:
        raise FileBusy(f"{path} cannot be opened: {error}") from error
    connection.execute("PRAGMA secure_delete = ON")
    return connection
