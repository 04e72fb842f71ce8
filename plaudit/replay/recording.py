"""A recording: answers people judged, and their judgments, with ids that depend on the content alone.

Sending a recording again gives every interaction and event the same id, so that nothing counts twice.
"""

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from infra.contracts import PlauditError

_EPOCH_MILLISECONDS = 1_704_067_200_000
"""2024-01-01: the time part of the ids, so that ids of one recording sort in its order."""


class InvalidRecording(PlauditError):
    """A file that is not what its format says."""

    code = "invalid_recording"
    status = 400


@dataclass(frozen=True)
class Recording:
    """What goes over the wire: items of `POST /v1/interactions` and `POST /v1/feedback`, ready for JSON.

    `skipped` counts what the file holds and the recording does not, by reason.
    """

    name: str
    interactions: list[dict[str, Any]]
    events: list[dict[str, Any]]
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def duels(self) -> int:
        return sum(event["signal"] == "duel" for event in self.events)

    @property
    def votes(self) -> int:
        """Events about one answer alone."""
        return len(self.events) - self.duels

    @property
    def digest(self) -> str:
        """Eight hex digits of the content."""
        ids = [item["response_id"] for item in self.interactions] + [event["event_id"] for event in self.events]
        return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:8]


def content_id(*parts: object) -> str:
    """A safe id, the same for the same parts: `replay-` and 24 hex digits."""
    return f"replay-{_digest(parts)[:24]}"


def event_id(position: int, *parts: object) -> str:
    """A UUIDv7 that depends on position and parts alone: position in the time bits, a hash in the random ones."""
    random_bits = int(_digest(parts)[:19], 16)  # 76 bits: 12 beside the version, 62 beside the variant, 2 unused
    value = (_EPOCH_MILLISECONDS + position) << 80 | 0x7 << 76 | (random_bits >> 64) << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | random_bits & (1 << 62) - 1))


def duel(
    position: int, response_id: str, preferred: int, other: int, other_response_id: str = "", user: str | None = None
) -> dict[str, Any]:
    """The event 'this answer was preferred over that one'; both of one response unless another is named."""
    against = other_response_id or response_id
    event: dict[str, Any] = {
        "event_id": event_id(position, "duel", response_id, preferred, against, other, user),
        "response_id": response_id,
        "choice": preferred,
        "signal": "duel",
        "other_response_id": against,
        "other_choice": other,
    }
    return event if user is None else event | {"user": user}


def _digest(parts: tuple[object, ...]) -> str:
    return hashlib.sha256("\x1f".join(map(repr, parts)).encode()).hexdigest()
