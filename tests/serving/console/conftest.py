"""The console over a recorded store, over an empty one, and over one that fails; without a model."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.testclient import TestClient

from infra.contracts import ManualClock
from infra.runtime import Context
from infra.settings import Settings, console_password
from infra.settings.console import ConsoleSettings
from serving.console.app import console_routes
from tests.fixtures.helpers import free_port, wait_until
from tests.fixtures.recorded_store import PROJECT, adopt, load
from tests.fixtures.shared import made_once

if TYPE_CHECKING:
    from infra.db import Database
    from infra.event_log import EventLog

PAGES = ("/", "/experiment", "/rewards", "/feedback", "/models", "/controls")
"""Every page of the menu."""


@pytest.fixture(scope="session")
def recorded_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the recorded rows, to copy from; beside it when they were recorded."""

    def make(folder: Path) -> None:
        from infra.db import Database, migrate

        url = f"sqlite:///{folder / 'store.sqlite3'}"
        migrate(url)
        database = Database.open(url)
        (folder / "recorded_at").write_text(repr(load(database)))
        database.close()

    return made_once(tmp_path_factory, "recorded", make)


@pytest.fixture
def console_settings(settings: Settings) -> Settings:
    """Nothing limits how often a test signs in."""
    return settings.model_copy(
        update={"project": PROJECT, "console": ConsoleSettings(login_burst=1000, refresh_seconds=3600.0)}
    )


@pytest.fixture
def recorded(
    console_settings: Settings, recorded_template: Path, tmp_path: Path, event_log: "EventLog"
) -> Iterator[Context]:
    """The recorded store, a few seconds after it was recorded."""
    from infra.db import Database

    for file in recorded_template.glob("store.sqlite3*"):
        shutil.copyfile(file, tmp_path / file.name)
    database = Database.open(f"sqlite:///{tmp_path / 'store.sqlite3'}")
    at = float((recorded_template / "recorded_at").read_text())
    context = Context(console_settings, ManualClock(at + 5.0), database, event_log)
    adopt(context, at)
    yield context
    database.close()


@pytest.fixture
def empty(console_settings: Settings, sqlite_database: "Database", event_log: "EventLog") -> Context:
    """A store that nothing happened in."""
    return Context(console_settings, ManualClock(), sqlite_database, event_log)


def promoted(context: Context) -> str:
    """The experiment that ended in a promotion: it has a whole course."""
    from sqlalchemy import select

    from infra.db.tables import experiments

    with context.database.reading() as connection:
        query = select(experiments.c.experiment_id).where(experiments.c.status == "promoted")
        return str(connection.execute(query).scalar_one())


def client_of(context: Context) -> TestClient:
    """A client of the console that has not signed in."""
    return TestClient(Starlette(routes=console_routes(context)), base_url="http://testserver")


def signed_in(context: Context, secret: str = "") -> TestClient:
    """A client that is signed in: with the local password, or with a key."""
    client = client_of(context)
    answer = client.post("/console/login", data={"secret": secret or console_password(context.settings)})
    assert answer.status_code == 200, answer.text
    return client


@pytest.fixture
def serve() -> Iterator[Callable[[Context], str]]:
    """Serve a context's console on a loopback port; gives its address."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(context: Context) -> str:
        port = free_port()
        app = Starlette(routes=console_routes(context))
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        wait_until(lambda: server.started)
        return f"http://127.0.0.1:{port}/console"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)
