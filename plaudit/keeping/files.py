"""Which files of the data folder a backup holds, and how a SQLite file is copied while others write to it."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from infra.durable import sync
from infra.event_log.spooling.claiming import left_behind
from infra.settings import Settings
from infra.settings.identity import CONSOLE_PASSWORD_FILE, FORMER_SECRETS_FILE, SECRET_FILE

TREES = ("adapters", "reward_models", "gates", "mlflow-artifacts")
"""Folders of finished things. What derives from others (`feature_cache`), speaks of the past (`logs`) or lives with a
process (`run`) is left out; so is a folder whose name begins with a dot: a training in progress begins again."""
SECRETS = (SECRET_FILE, FORMER_SECRETS_FILE, CONSOLE_PASSWORD_FILE)
REGISTRY_FILE = "mlflow.sqlite3"
LOG_FILE = "log.sqlite3"
SPOOL = "spool"

_PATIENCE_SECONDS = 60.0
_OPERATIONS = 200_000
"""Steps of SQLite's machine between two looks at how far the copy is: some hundredths of a second."""


def tree_files(data_dir: Path) -> Iterator[Path]:
    """Files of `TREES`, in order."""
    for tree in TREES:
        for path in sorted((data_dir / tree).rglob("*")):
            inner = path.relative_to(data_dir).parts
            if path.is_file() and not path.is_symlink() and not any(name.startswith(".") for name in inner):
                yield path


def secret_files(settings: Settings) -> list[Path]:
    """The files of user secrets there are: none where the secret is a setting."""
    return [path for name in SECRETS if (path := settings.data_dir / name).exists()]


def sqlite_files(settings: Settings) -> list[Path]:
    """SQLite files of the data folder besides the store: the registry's. The embedded log is not among them: it has to
    be copied after the store."""
    registry = [] if settings.registry.tracking_uri else [settings.data_dir / REGISTRY_FILE]
    return [path for path in registry if path.exists()]


def spool_files(data_dir: Path) -> list[Path]:
    """What waits for the log. Copied as bytes: a frame that was acknowledged before stands in them whole, and what was
    handed on before is on the log, or comes to it twice. They are copied before the log."""
    return left_behind(data_dir / SPOOL)


def copy_sqlite(source: Path, target: Path, grown: Callable[[int], None] = lambda _bytes: None) -> None:
    """A consistent copy of a SQLite file as of one instant, made while others read and write it (VACUUM INTO).

    Unlike a copy page by page it holds no freed pages: nothing that was deleted, an erased person's rows least of all.
    `grown` is told how many bytes the copy has gained. Raises sqlite3.OperationalError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    place = f"file:{quote(str(source.absolute()))}?mode=rw"  # never makes a file that is gone
    connection = sqlite3.connect(place, uri=True, timeout=_PATIENCE_SECONDS, isolation_level=None)
    said = 0

    def look() -> int:
        nonlocal said
        size = target.stat().st_size if target.exists() else 0
        grown(size - said)
        said = size
        return 0

    try:
        connection.set_progress_handler(look, _OPERATIONS)
        connection.execute("VACUUM INTO ?", (str(target),))
        look()
    finally:
        connection.close()
    target.chmod(0o600)
    sync(target)
