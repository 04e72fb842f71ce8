"""Whose the files in the spool's folder are, and what waits in them."""

import fcntl
import os
import uuid
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO

import structlog

from infra.durable import sync
from infra.event_log.spooling import segments
from infra.event_log.spooling.files import SpoolFile

_log = structlog.get_logger(__name__)


def claim(folder: Path) -> list[SpoolFile]:
    """A new name for this process first, then every one of `folder` that nobody holds. What cannot be read is told in
    the log and left. Raises OSError where the folder takes no new name."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        sync(folder.parent)
    for path in folder.glob("*.sqlite3"):
        _log.warning("event_log_spool_unknown", path=str(path), remedy="of a version that had not been released")
    name = uuid.uuid4().hex
    lock = _locked(folder / f"{name}.lock")
    if lock is None:
        raise OSError(f"the lock of the new spool {folder / name} is held by another process")
    return [SpoolFile(folder, name, lock), *adopt(folder)]


def left_behind(folder: Path) -> list[Path]:
    """Segments in the folder, of living processes and of dead ones."""
    return sorted(folder.glob(f"*-*{segments.SUFFIX}"))


def frames_waiting(folder: Path) -> set[tuple[Path, int, int]]:
    """Which frames wait at this moment, of all processes: (file, place, CRC-32 of the content)."""
    waiting: set[tuple[Path, int, int]] = set()
    for path in left_behind(folder):
        try:
            segment = segments.known(path)
            if segment is None:
                continue
            opened = segments.Opened(segment)
        except OSError:
            continue  # handed on meanwhile
        try:
            waiting |= {(path, start, zlib.crc32(content)) for start, content in opened.found()}
        finally:
            opened.close()
    return waiting


def adopt(folder: Path, but: Collection[str] = ()) -> list[SpoolFile]:
    """What nobody holds, `but` the files of these names."""
    adopted: list[SpoolFile] = []
    for name in sorted({path.name.rpartition("-")[0] for path in left_behind(folder)} - set(but)):
        try:
            lock = _locked(folder / f"{name}.lock")
            if lock is not None:
                adopted.append(SpoolFile(folder, name, lock))
        except OSError as error:
            _log.error("event_log_spool_not_adopted", path=str(folder / name), error=str(error))
    return adopted


def _locked(path: Path) -> IO[bytes] | None:
    """The lock, or None while another process holds it, or has just deleted it with its segments."""
    lock = path.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
            return lock
    except OSError:
        pass
    lock.close()
    return None
