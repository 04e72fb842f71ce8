"""Opens MLflow: quietly, lazily, without telemetry, and one process at a time while it makes its tables."""

import contextlib
import fcntl
import os
import sqlite3
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from infra.contracts import PlauditError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
_opening = threading.Lock()


class RegistryUnavailable(PlauditError):
    """The registry did not answer. Nothing the loop decides on is lost: truth is the store."""

    code = "registry_unavailable"
    status = 503


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates: its warnings are not ours to act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def connect(tracking_uri: str, experiment: str, artifact_root: Path) -> "tuple[MlflowClient, str]":
    """A client of `tracking_uri` and the id of `experiment`, made if missing. Raises RegistryUnavailable.

    The first call on a new SQLite file makes about fifty tables (seconds); a file lock lets only one process do it.
    """
    # Read by MLflow at import: no telemetry threads, and our own logging stays as it is.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
    file = sqlite_file(tracking_uri)
    try:
        with _opening, quiet(), _exclusive(file):
            if file is not None:
                _prefer_wal(file)
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
            return client, _experiment_id(client, experiment, None if file is None else artifact_root)
    except Exception as error:
        raise RegistryUnavailable(
            f"the MLflow registry at {tracking_uri} cannot be opened ({type(error).__name__}: {error}); check "
            "registry.tracking_uri and that the data folder is writable; `plaudit doctor` tries it again",
            field="registry.tracking_uri",
        ) from error


def dispose(client: "MlflowClient") -> None:
    """Close pooled connections to a SQLite registry; the next call would open new ones."""
    with contextlib.suppress(AttributeError):
        client._tracking_client.store.engine.dispose()
    with contextlib.suppress(AttributeError):
        client._get_registry_client().store.engine.dispose()


def sqlite_file(tracking_uri: str) -> Path | None:
    """The file behind a SQLite URI, None for a server."""
    return Path(tracking_uri.removeprefix(_SQLITE)) if tracking_uri.startswith(_SQLITE) else None


@contextlib.contextmanager
def _exclusive(file: Path | None) -> Iterator[None]:
    """Hold `<file>.lock` while tables are made: parent and training children may open the registry at once."""
    if file is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{file}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _prefer_wal(file: Path) -> None:
    """WAL is a property of the file, so MLflow's own connections get it too: readers never block the writer."""
    with contextlib.closing(sqlite3.connect(file, timeout=20.0)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _experiment_id(client: "MlflowClient", name: str, artifact_root: Path | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None if artifact_root is None else artifact_root.resolve().as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except Exception:
        # Another process was faster, on a server without our file lock.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)
