"""What stands around every page: the menu, who is signed in, and the strip that says what is served and what stands
still."""

from typing import Any

from starlette.requests import Request

from infra.runtime import Context
from infra.runtime.pauses_repository import pauses_of
from infra.runtime.pausing import LOOP, PROMOTION
from serving.console.repository import ConsoleRepository
from serving.console.sessions import Session

MENU = (
    ("Loop", "/"),
    ("Experiment", "/experiment"),
    ("Rewards", "/rewards"),
    ("Feedback", "/feedback"),
    ("Models", "/models"),
    ("Controls", "/controls"),
)


def framed(
    context: Context, request: Request, session: Session | None, token: str, *, quiet: bool = False
) -> dict[str, Any]:
    """Values that every template has. `quiet`: ask the store nothing, for the pages that say it is away."""
    path = request.url.path.removeprefix("/console") or "/"
    return {
        "root": "/console",
        "menu": MENU,
        "here": path,
        "project": context.settings.project,
        "session": session,
        "csrf": token,
        "now": context.clock.now(),
        "refresh": f"every {context.settings.console.refresh_seconds:g}s",
        "strip": None if quiet else strip(context),
    }


def strip(context: Context) -> dict[str, Any]:
    """Champion, what runs, and what a person has stopped."""
    with context.database.reading() as connection:
        repository = ConsoleRepository(connection, context.settings.project)
        serving, running = repository.serving(), repository.running()
        stopped = pauses_of(connection, context.settings.project)
    return {
        "champion": "base" if serving is None else serving["champion"],
        "before": "base" if serving is None else serving["last_proven"],
        "running": [row for row in running if row["kind"] == "challenge"],
        "watching": [row for row in running if row["kind"] == "holdback"],
        "loop": stopped.get(LOOP),
        "promotion": stopped.get(PROMOTION),
        "jobs": [pause for subject, pause in stopped.items() if subject not in (LOOP, PROMOTION)],
    }
