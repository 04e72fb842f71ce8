"""The page of feedback: what comes in, what could not be read, and from how few people the teaching comes."""

import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from starlette.requests import Request

from infra.runtime import Context
from ingest.dead_letters import list_letters, show_letter
from ingest.trust.concentration import Concentration
from ingest.trust.repository import TrustRepository
from serving.console.feedback_repository import LETTER_STATUSES, FeedbackRepository

EVENTS = 40
SIGNALS_AMONG = 5000
LETTERS = 25
LETTERS_AT_MOST = 10_000
PERSON_CHARACTERS = 8
"""So much of a user key is shown: enough to tell people apart, too little to look one up."""
RAW_BYTES = 2000
KEPT_SECONDS = 60.0


def feedback_view(context: Context, request: Request) -> tuple[str, dict[str, Any]]:
    """The newest events, letters of one status, and who taught the model."""
    status = request.query_params.get("status", "open")
    status = status if status in LETTER_STATUSES else "open"
    with context.database.reading() as connection:
        repository = FeedbackRepository(connection, context.settings.project)
        events, signals = repository.newest_events(EVENTS), repository.signals(SIGNALS_AMONG)
        counts = repository.letters(LETTERS_AT_MOST)
    letters = list_letters(context, status, limit=LETTERS)
    total = sum(row["events"] for row in signals)
    values = {
        "events": events, "signals": signals, "total": total, "among": SIGNALS_AMONG,
        "since": min((row["since"] for row in signals), default=None), "counts": counts, "status": status,
        "statuses": LETTER_STATUSES, "letters": letters, "letters_at_most": LETTERS_AT_MOST,
        "teaching": _KEPT.of(context), "person": PERSON_CHARACTERS,
    }  # fmt: skip
    return "feedback.html", values


def letter_view(context: Context, request: Request) -> tuple[str, dict[str, Any]]:
    """One letter with its bytes. Raises DeadLetterNotFound."""
    letter, status = show_letter(context, request.path_params["letter"])
    shown = letter.raw[:RAW_BYTES].decode("utf-8", "backslashreplace") if context.settings.console.show_texts else ""
    return "letter.html", {"letter": letter, "status": status, "raw": shown, "more": len(letter.raw) > RAW_BYTES}


class _Kept:
    """The concentration of teaching reads everybody's newest estimate: once a minute is often enough for a page."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}

    def of(self, context: Context) -> dict[str, Any]:
        key, now = (context.database.safe_url, context.settings.project), context.clock.now()
        with self._lock:
            known = self._found.get(key)
            if known is None or not 0 <= now - known[0] < KEPT_SECONDS:
                with context.database.reading() as connection:
                    masses, out = TrustRepository(connection, context.settings.project).masses()
                known = now, teaching_of(masses, out)
                self._found[key] = known
        return known[1]


_KEPT = _Kept()


def teaching_of(masses: Sequence[float], quarantined: int) -> dict[str, Any]:
    """How concentrated the masses of people's votes are, and the shares of the heaviest tenths of them."""
    import numpy as np

    from ingest.trust.concentration import concentration

    found: Concentration = concentration(np.array(masses, np.float64))
    ordered = sorted((mass for mass in masses if mass > 0), reverse=True)
    total = sum(ordered) or 1.0
    edges = [round(len(ordered) * tenth / 10) for tenth in range(11)]
    tenths = [sum(ordered[low:high]) / total for low, high in pairwise(edges)]
    return {"found": found, "quarantined": quarantined, "tenths": tenths if ordered else []}
