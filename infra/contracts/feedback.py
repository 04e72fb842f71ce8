"""One signal about one answer. The ledger keeps every version of every signal: set, changed, withdrawn."""

from typing import Literal

import msgspec

Signal = Literal[
    "shown",  # the answer was displayed
    "like",
    "dislike",
    "rating",  # value in [0, 1]
    "dwell",  # value: active reading seconds so far
    "copy",
    "reuse",  # reopened or built on
    "regenerate",  # the person asked again; other_* names the answer that replaced this one
    "share",
    "report",  # harmful, illegal, abusive
    "edit",  # text: what the person made of it
    "duel",  # this answer was preferred over other_*
    "comment",  # text
]
Operation = Literal["set", "withdraw"]
Device = Literal["desktop", "mobile", "tablet", "other"]


class FeedbackEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One feedback event as it stands on the log and in the ledger.

    `event_id` is a client-made UUIDv7 in canonical text form: the key under which the event counts once. The answer is
    `(response_id, choice)`; `duel` and `regenerate` name the other answer too. `user_key` is None when the voter is the
    interaction's own user. Of several events of one signal by one person on one answer, the one with the greatest
    `(derived_at, event_id)` holds (of `duel` and `regenerate`: for each other answer; and setting a like also withdraws
    the same person's earlier dislike, and the other way round); `derived_at` = received - (sent - created), never later
    than received. Times are Unix seconds. `device` is the class of device the person read on. `solicited` says that the
    person was asked for a vote, at random, and with which probability, in (0, 1].
    """

    event_id: str
    project: str
    response_id: str
    signal: Signal
    received_at: float
    derived_at: float
    choice: int = 0
    operation: Operation = "set"
    value: float | None = None
    text: str | None = None
    other_response_id: str | None = None
    other_choice: int = 0
    user_key: str | None = None
    device: Device | None = None
    solicited: float | None = None
    source: str = "api"
    schema_version: int = 1
