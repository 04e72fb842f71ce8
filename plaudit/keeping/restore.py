"""`plaudit restore`: the system out of a backup, into an empty machine only.

Everything is verified before anything is written. A marker stands in the data folder while the restore is not finished,
and no process opens the folder meanwhile. Whoever was erased, before the backup or after it, is erased when the store
is first seen: the erasures are applied in the transaction that fills it.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import structlog
from sqlalchemy import Connection

from infra.contracts import Clock, PlauditError, SystemClock
from infra.db import Database, revision_of, revisions, upgrade
from infra.db.engines import parse_url
from infra.event_log import EventLog, open_event_log
from infra.runtime.context import UNFINISHED_RESTORE, Context
from infra.settings import Settings
from ingest.access import audit
from ingest.erasure import carrying
from ingest.erasure.message import ErasureMessage
from ingest.erasure.service import finish_open
from plaudit.keeping import files, registry_paths, repository
from plaudit.keeping.backup import ERASURES_FILE, STORE_FILE, STORE_FOLDER, secret_check
from plaudit.keeping.manifest import Manifest, Tick, copy_hashed, read_manifest, verify

log = structlog.get_logger()


class RestoreRefused(PlauditError):
    """This backup cannot be restored here; nothing was changed."""

    code = "restore_refused"
    status = 409


@dataclass(frozen=True)
class Restored:
    """What was done. `erasures`: the ids of all that hold here; `files_not_clean`: of so many, files may still hold
    bytes of the person (the job `retention` goes on)."""

    manifest: Manifest
    revision: str
    erasures: frozenset[str]
    erasures_learned: int
    files_not_clean: int

    def unknown(self, receipts: Mapping[str, Path]) -> list[Path]:
        """Receipts (erasure id -> file) of erasures that nobody could carry here: they name nobody, so the person has
        to be erased again by whoever knows who it was."""
        return sorted(path for erasure_id, path in receipts.items() if erasure_id not in self.erasures)


def restore(
    settings: Settings,
    folder: Path,
    tick: Tick,
    *,
    newer: Sequence[ErasureMessage] = (),
    actor: str = "restore",
    clock: Clock | None = None,
) -> Restored:
    """Restore the backup in `folder` to the places that `settings` name.

    `newer` are erasures to apply besides those of the backup (`plaudit.keeping.erased`). Raises InvalidBackup and
    RestoreRefused before anything was changed.
    """
    clock = clock or SystemClock()
    manifest = read_manifest(folder)
    check_target(settings, manifest, folder)
    verify(folder, manifest, tick)
    with _marked(settings.data_dir), ExitStack() as stack:
        _lay_files(settings, folder, manifest, tick)
        event_log = open_event_log(settings, clock)
        stack.callback(event_log.close)
        database = Database.open(settings.store_url)
        stack.callback(database.close)
        if manifest.store == "sqlite" and database.dialect == "sqlite":
            copy_hashed(folder / STORE_FILE, Path(str(database.engine.url.database)), tick)
        carrying.publish(event_log, settings, newer)
        with database.transaction() as connection:
            _fill(connection, folder, manifest, tick)
            moved = repository.move_paths(connection, manifest.data_dir, str(settings.data_dir.resolve()))
            learned = _erase_again(connection, settings, event_log, newer, clock.now())
            detail = {"backup_made_at": manifest.made_at, "paths_moved": moved, "erasures_learned": learned}
            audit.record(connection, actor, "store.restored", detail, project=settings.project, at=clock.now())
            known = frozenset(carrying.known_erasures(connection))
        _, busy = finish_open(Context(settings, clock, database, event_log))
    log.info("restored", made_at=manifest.made_at, paths_moved=moved, erasures_learned=learned)
    return Restored(manifest, revisions()[-1], known, learned, busy)


def check_target(settings: Settings, manifest: Manifest, folder: Path) -> None:
    """Refuse what cannot end well. Raises RestoreRefused."""
    if manifest.revision not in revisions():
        _refuse(f"the backup has revision {manifest.revision}, which this version does not know", "use a newer version")
    if manifest.event_log != settings.event_log.kind:
        _refuse(
            f"the backup was made with event_log.kind = {manifest.event_log}, here it is {settings.event_log.kind}",
            "restore with the former kind, let the consumer read the log to its end, then change it",
            "event_log.kind",
        )
    if settings.project != manifest.project:
        _refuse(
            f"the backup was made with project = {manifest.project!r}, here it is {settings.project!r}",
            "set project to the former value",
            "project",
        )
    data_dir = settings.data_dir
    if data_dir.exists() and not (data_dir / UNFINISHED_RESTORE).exists() and (found := _contents(data_dir)):
        _refuse(
            f"{data_dir} is not empty: it holds {', '.join(found[:5])}",
            "a restore never overwrites; set data_dir to a new folder, or move the old one away",
            "data_dir",
        )
    _check_store(settings, manifest)
    _check_secret(settings, manifest, folder)


def _check_store(settings: Settings, manifest: Manifest) -> None:
    url = parse_url(settings.store_url)  # a Database would make the folder of a file
    if url.get_backend_name() == "sqlite":
        if manifest.store != "sqlite":
            _refuse("the backup is of a PostgreSQL store", "set store.url to an empty database", "store.url")
        if Path(str(url.database)).exists() and not (settings.data_dir / UNFINISHED_RESTORE).exists():
            _refuse(f"the store {url.database} exists", "move it away, or set store.url to another place", "store.url")
        return
    database = Database.open(settings.store_url)
    try:
        if (problem := database.healthy()) is not None:
            _refuse(problem, "check store.url and that the server runs", "store.url")
        with database.reading() as connection:
            revision = revision_of(connection)
            # A store that was migrated and nothing else may have partitions that are wanted.
            fits = revision is None or (revision == manifest.revision and repository.is_empty(connection))
        if not fits:
            _refuse(f"the database {database.safe_url} holds a store already", "name an empty database", "store.url")
    finally:
        database.close()


def _check_secret(settings: Settings, manifest: Manifest, folder: Path) -> None:
    """People keep their keys, or nobody can be found again: neither to be served nor to be erased."""
    given, kept = settings.user_key_secret.get_secret_value().encode(), folder / files.SECRETS[0]
    if not given and not kept.is_file():
        _refuse(
            "the backup holds no user secret", "set user_key_secret to that of the former machine", "user_key_secret"
        )
    if secret_check(given or kept.read_bytes().strip()) != manifest.secret_check:
        _refuse(
            "user_key_secret is not the one the backup was made under: every person would become another one",
            "set user_key_secret to the former value",
            "user_key_secret",
        )


def _refuse(said: str, remedy: str, name: str | None = None) -> None:
    raise RestoreRefused(f"{said}; nothing was restored: {remedy}", field=name)


def _contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "lost+found")


@contextlib.contextmanager
def _marked(data_dir: Path) -> Iterator[None]:
    """The marker of an unfinished restore. What an earlier one left is removed; an error leaves the marker."""
    data_dir.mkdir(parents=True, exist_ok=True)
    marker = data_dir / UNFINISHED_RESTORE
    marker.touch()
    for path in data_dir.iterdir():
        if path != marker and path.name != "lost+found":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    yield
    marker.unlink()


def _lay_files(settings: Settings, folder: Path, manifest: Manifest, tick: Tick) -> None:
    """Everything but the store into the data folder, with its paths moved."""
    for part in manifest.parts:
        if part.path in (STORE_FILE, ERASURES_FILE) or part.path.startswith(f"{STORE_FOLDER}/"):
            continue
        if copy_hashed(folder / part.path, settings.data_dir / part.path, tick) != part.sha256:
            raise RestoreRefused(f"{part.path} changed while it was read; start again with a backup nobody writes to")
    registry_paths.move(settings.data_dir / files.REGISTRY_FILE, manifest.data_dir, str(settings.data_dir.resolve()))


def _fill(connection: Connection, folder: Path, manifest: Manifest, tick: Tick) -> None:
    """The rows of the backup, at the newest revision."""
    if manifest.store == "postgresql":
        upgrade(connection, manifest.revision)
        for table, columns in manifest.columns.items():
            source = folder / STORE_FOLDER / f"{table}.copy"
            repository.load_table(connection, table, columns, source, partial(tick, table))
        upgrade(connection)
        return
    upgrade(connection)
    if connection.dialect.name == "postgresql":
        with _opened_copy(folder) as stored:
            repository.transfer(stored, connection, lambda _rows: None)


@contextlib.contextmanager
def _opened_copy(folder: Path) -> Iterator[Connection]:
    """A SQLite store of a backup, at the newest revision, in a copy: a backup is never written to."""
    with tempfile.TemporaryDirectory(prefix="plaudit-restore-") as place:
        copy = Path(place) / STORE_FILE
        shutil.copyfile(folder / STORE_FILE, copy)
        database = Database.open(f"sqlite:///{copy}")
        try:
            with database.transaction() as connection:
                upgrade(connection)
            with database.reading() as connection:
                yield connection
        finally:
            database.close()


def _erase_again(
    connection: Connection, settings: Settings, event_log: EventLog, newer: Sequence[ErasureMessage], now: float
) -> int:
    """Erasures that the log knows, and those carried here."""
    found = chain(carrying.logged_erasures(event_log, settings), carrying.as_records(newer))
    return carrying.learn(connection, found, settings, now)
