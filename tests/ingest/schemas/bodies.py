"""Events of every signal, and events that are wrong in one way each."""

from typing import Any

_ID = "0199c1f2-55a1-7c3e-9d61-6f1f5a1d2b7{}"


def _event(number: int, signal: str, **more: Any) -> dict[str, Any]:
    return {"event_id": _ID.format(f"{number:x}"), "response_id": "chatcmpl-1", "signal": signal, **more}


GOOD_EVENTS = [
    _event(0, "shown", device="mobile", solicited=0.02),
    _event(1, "like", value=1.0, choice=3),
    _event(2, "dislike", operation="withdraw"),
    _event(3, "rating", value=0.5),
    _event(4, "dwell", value=12.25, created_at="2026-11-21T08:12:37Z", sent_at=1_795_250_348.5),
    _event(5, "copy", user="alice"),
    _event(6, "reuse"),
    _event(7, "regenerate", other_response_id="chatcmpl-2"),
    _event(8, "share"),
    _event(9, "report", text="rude"),
    _event(10, "edit", text="better"),
    _event(11, "duel", other_response_id="chatcmpl-2", other_choice=1),
    _event(12, "comment", text="nice"),
]
BAD_EVENTS = [
    {"signal": "like", "response_id": "r1"},
    _event(0, "like") | {"event_id": "0199c1f2-55a1-4c3e-9d61-6f1f5a1d2b70"},
    _event(0, "like") | {"response_id": "a b"},
    _event(0, "wave"),
    _event(0, "like", choice=-1),
    _event(0, "like", choice=1024),
    _event(0, "like", solicited=0),
    _event(0, "like", operation="delete"),
    _event(0, "like", colour="red"),
    _event(0, "like", user="x" * 513),
    _event(0, "like", created_at=1_795_250_348_500),
    _event(0, "comment", text="x" * 20_001),
]
