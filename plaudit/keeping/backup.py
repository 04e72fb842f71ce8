"""`plaudit backup`: a folder from which the system can be made again, taken while everything runs.

The order makes it consistent: first the store, as of one instant; then the spools and after them the log, which
together therefore hold whatever the store had not applied yet; then files, which are never changed once a row of the
store names them.
"""

import hashlib
import hmac
import shutil
import sqlite3
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from infra.contracts import Clock, SystemClock
from infra.db import Database, current_revision, newest_revision
from infra.db.tables import metadata
from infra.event_log.embedded.inspecting import oldest_offsets
from infra.settings import Settings, config_hash, user_secret
from ingest.erasure.carrying import erasures_of
from ingest.erasure.message import ErasureMessage
from plaudit.keeping import files, repository
from plaudit.keeping.draft import BackupFailed, drafted
from plaudit.keeping.manifest import Manifest, Part, Tick, copy_hashed, part_of, write_manifest

STORE_FILE = "store.sqlite3"
STORE_FOLDER = "store"
LOG_FILE = files.LOG_FILE
ERASURES_FILE = "erasures.json"
_TRIES = 3


@dataclass(frozen=True)
class Snapshot:
    """What the store said at the instant of its copy."""

    made_at: float
    adapters: list[repository.StoredAdapter]
    offsets: dict[tuple[str, str, int], int]
    erasures: list[ErasureMessage]
    columns: dict[str, list[str]] = field(default_factory=dict)


def back_up(settings: Settings, out: Path, tick: Tick, *, secrets: bool = True, clock: Clock | None = None) -> Manifest:
    """Write a backup to the new folder `out`; it appears whole or not at all.

    Raises BackupFailed; StoreUnavailable where the store does not answer.
    """
    clock = clock or SystemClock()
    _require_migrated(settings)
    with drafted(out) as draft:
        snapshot = _store_and_log(settings, draft, tick, clock)
        (draft / ERASURES_FILE).write_bytes(msgspec.json.encode(snapshot.erasures))
        for path in files.sqlite_files(settings):
            _copied_if_there(path, draft / path.relative_to(settings.data_dir), tick)
        made = [path for path in sorted(draft.rglob("*")) if path.is_file()]
        parts = [part_of(draft, path, tick) for path in made]
        wanted = [*files.tree_files(settings.data_dir), *(files.secret_files(settings) if secrets else [])]
        parts += [part for path in wanted if (part := _copied(settings.data_dir, draft, path, tick)) is not None]
        return write_manifest(draft, _with_missing(settings, _manifest(settings, snapshot, parts), snapshot))


def back_up_erasures(settings: Settings, out: Path) -> int:
    """Write only who was erased, without a name, to a new file: small enough to be taken often. How many there are."""
    _require_migrated(settings)
    database = Database.open(settings.store_url)
    try:
        with database.reading() as connection:
            messages = erasures_of(connection)
    finally:
        database.close()
    with out.open("xb") as file:
        file.write(msgspec.json.encode(messages))
    return len(messages)


def expected_bytes(settings: Settings) -> int:
    """About how many bytes a backup works on, for a bar: what is copied and hashed afterwards counts twice."""
    data_dir = settings.data_dir
    copied = [*files.sqlite_files(settings), *files.spool_files(data_dir), data_dir / LOG_FILE]
    size = sum(path.stat().st_size for path in files.tree_files(data_dir))
    size += 2 * sum(path.stat().st_size for path in copied if path.exists())
    database = Database.open(settings.store_url)
    try:
        if database.dialect == "sqlite":
            return size + 2 * _sqlite_path(database).stat().st_size
        with database.reading() as connection:
            return size + 2 * repository.stored_bytes(connection)
    finally:
        database.close()


def secret_check(secret: bytes) -> str:
    """Says whether two deployments make the same user keys, and nothing about the secret: it is 256 random bits."""
    return hmac.new(secret, b"plaudit backup", hashlib.sha256).hexdigest()


def _require_migrated(settings: Settings) -> None:
    if settings.store_url.startswith("sqlite:///") and not Path(settings.store_url.removeprefix("sqlite:///")).exists():
        raise BackupFailed(
            f"there is no store at {settings.store_url}: check data_dir and store.url", field="store.url"
        )
    current, newest = current_revision(settings.store_url), newest_revision()
    if current != newest:
        raise BackupFailed(
            f"the store is at revision {current}, this version reads {newest}: take the backup with the version that "
            "wrote it, or run `plaudit migrate` first",
            field="store.url",
        )


def _store_and_log(settings: Settings, draft: Path, tick: Tick, clock: Clock) -> Snapshot:
    """Store, then log. Retention may cut the log between the two; then both are copied again."""
    for _ in range(_TRIES):
        snapshot = _store(settings, draft, tick, clock)
        _spools(settings, draft, tick)
        if settings.event_log.kind != "embedded" or not (settings.data_dir / LOG_FILE).exists():
            return snapshot
        (draft / LOG_FILE).unlink(missing_ok=True)
        files.copy_sqlite(settings.data_dir / LOG_FILE, draft / LOG_FILE, partial(tick, "event log"))
        oldest = oldest_offsets(draft / LOG_FILE)
        if all(first <= snapshot.offsets.get(place, first) for place, first in oldest.items()):
            return snapshot
    raise BackupFailed(
        f"records were cut from the log between the copies of store and log, {_TRIES} times: take the backup when the "
        "job `retention` does not run",
        field="retention.log_record_seconds",
    )


def _spools(settings: Settings, draft: Path, tick: Tick) -> None:
    shutil.rmtree(draft / files.SPOOL, ignore_errors=True)
    for path in files.spool_files(settings.data_dir):
        _copied(settings.data_dir, draft, path, tick)  # one that goes meanwhile was handed on: the log has it


def _store(settings: Settings, draft: Path, tick: Tick, clock: Clock) -> Snapshot:
    with ExitStack() as stack:
        database = Database.open(settings.store_url)
        stack.callback(database.close)
        if database.dialect == "postgresql":
            connection = stack.enter_context(database.reading())
            made_at = clock.now()
            folder = draft / STORE_FOLDER
            folder.mkdir(exist_ok=True)
            columns = {
                str(table.name): repository.dump_table(
                    connection, table, folder / f"{table.name}.copy", partial(tick, table.name)
                )
                for table in metadata.sorted_tables
            }
            return _snapshot(connection, settings, made_at, columns)
        made_at = clock.now()
        (draft / STORE_FILE).unlink(missing_ok=True)
        files.copy_sqlite(_sqlite_path(database), draft / STORE_FILE, partial(tick, "store"))
        copy = Database.open(f"sqlite:///{(draft / STORE_FILE).absolute()}")
        stack.callback(copy.close)
        with copy.reading() as connection:
            return _snapshot(connection, settings, made_at, {})


def _snapshot(connection: Connection, settings: Settings, made_at: float, columns: dict[str, list[str]]) -> Snapshot:
    return Snapshot(
        made_at,
        repository.stored_adapters(connection),
        repository.offsets(connection, settings.ingest.consumer_group),
        erasures_of(connection),
        columns,
    )


def _sqlite_path(database: Database) -> Path:
    return Path(str(database.engine.url.database))


def _copied(data_dir: Path, draft: Path, path: Path, tick: Tick) -> Part | None:
    """None for a file that went meanwhile: no row of the store named it, or `missing` says so."""
    name = path.relative_to(data_dir)
    try:
        digest = copy_hashed(path, draft / name, tick)
    except FileNotFoundError:
        return None
    return Part(name.as_posix(), (draft / name).stat().st_size, digest)


def _copied_if_there(path: Path, target: Path, tick: Tick) -> None:
    try:
        files.copy_sqlite(path, target, partial(tick, path.name))
    except sqlite3.OperationalError:
        if path.exists():
            raise
        target.unlink(missing_ok=True)


def _manifest(settings: Settings, snapshot: Snapshot, parts: list[Part]) -> Manifest:
    from importlib import metadata as distributions

    return Manifest(
        made_by=f"plaudit {distributions.version('plaudit')}",
        project=settings.project,
        made_at=snapshot.made_at,
        revision=newest_revision(),
        config_hash=config_hash(settings),
        data_dir=str(settings.data_dir.resolve()),
        store="sqlite" if settings.store_url.startswith("sqlite") else "postgresql",
        event_log=settings.event_log.kind,
        secret_check=secret_check(user_secret(settings)),
        columns=snapshot.columns,
        erasures=len(snapshot.erasures),
        parts=sorted(parts, key=lambda part: part.path),
    )


def _with_missing(settings: Settings, manifest: Manifest, snapshot: Snapshot) -> Manifest:
    """Name adapters that are not whole in the backup. Raises BackupFailed where people are served by one of them."""
    hashes = {part.path: part.sha256 for part in manifest.parts}
    broken = [one for one in snapshot.adapters if not _whole(one, manifest.data_dir, hashes)]
    served = [one.ref for one in broken if one.served]
    if served:
        raise BackupFailed(
            f"files of {', '.join(served)}, which is served, are missing or changed in {settings.data_dir}: a backup "
            "without them could not answer anybody; run `plaudit doctor`"
        )
    return msgspec.structs.replace(manifest, missing=sorted(one.ref for one in broken))


def _whole(adapter: repository.StoredAdapter, data_dir: str, hashes: dict[str, str]) -> bool:
    if not Path(adapter.path).is_relative_to(data_dir):
        return True  # kept elsewhere: not ours to copy
    folder = Path(adapter.path).relative_to(data_dir).as_posix()
    return all(hashes.get(f"{folder}/{name}") == digest for name, digest in adapter.file_hashes.items())
