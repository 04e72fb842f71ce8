"""The page of controls, and the page that asks once more. What an act does is in `acting`."""

from typing import Any

from starlette.requests import Request

from ab_testing.by_hand import PROMOTABLE
from infra.runtime import Context
from serving.console.acting import ACTS
from serving.console.errors import NothingHere
from serving.console.frame import strip
from serving.console.loop import ref_of
from serving.console.repository import ConsoleRepository

AUDIT = 25
ADAPTERS = 60


def controls_view(context: Context, request: Request) -> tuple[str, dict[str, Any]]:
    """What stands, what can be done, and who did what."""
    with context.database.reading() as connection:
        repository = ConsoleRepository(connection, context.settings.project)
        adapters = [row for row in repository.adapters(ADAPTERS) if row["state"] in PROMOTABLE]
        audit = repository.audit(AUDIT)
    return "controls.html", {
        "promotable": [ref_of(row) for row in adapters],
        "audit": audit,
        "done": DONE.get(request.query_params.get("done", "")),
    }


def confirm_view(context: Context, request: Request) -> tuple[str, dict[str, Any]]:
    """What one act would do, with the form that does it. Raises NothingHere."""
    name = request.path_params["act"]
    if name not in ACTS:
        raise NothingHere(f"there is no control {name[:40]!r}")
    subject = request.query_params.get("subject", "")[:128]
    told = ACTS[name].told(strip(context), subject)
    return "confirm.html", {"act": name, "subject": subject, "words": ACTS[name], "told": told}


DONE = {name: act.done for name, act in ACTS.items()}
"""What the page says after an act, by its name: nothing from the address is shown."""
