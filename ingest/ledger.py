"""From the versions of a ledger to the signals that hold: who says what about one answer, now.

The ledger keeps every event. Of all versions with one key the one with the greatest `(derived_at, event_id)` holds,
whatever order they arrived in; if it is a withdrawal, nothing holds. The key is (voter, signal), and for `duel` and
`regenerate` also the other answer. Setting a like also withdraws the same person's dislike, and the other way round.
"""

from collections.abc import Iterable
from typing import NamedTuple

PAIR_SIGNALS = frozenset({"duel", "regenerate"})
"""Signals about two answers."""

OPPOSITES = {"like": "dislike", "dislike": "like"}
"""Setting one takes back the other: a person who changed their mind has one opinion, not two."""

OWNER = ""
"""The voter of events without a user, while the interaction, hence its user, is unknown or has no user."""


class Version(NamedTuple):
    """One event of the ledger, as far as labels and pairs need it. Times are Unix seconds."""

    event_id: str
    choice: int
    signal: str
    operation: str
    value: float | None
    other_response_id: str | None
    other_choice: int
    user_key: str | None
    derived_at: float
    device: str | None = None
    solicited: float | None = None


class Surviving(NamedTuple):
    """A signal that holds. `voter` is a user key or OWNER."""

    voter: str
    signal: str
    value: float | None
    version: Version


def derived_at(received_at: float, created_at: float | None, sent_at: float | None) -> float:
    """When the person acted, by the server's clock: received - (sent - created), in [0, received].

    Taking the difference of two readings of the client's clock cancels its error (Snowplow's `derived_tstamp`). Without
    `sent_at` the client's clock has to be believed; without `created_at` there is only the time of arrival.
    """
    if created_at is None:
        return received_at
    derived = created_at if sent_at is None else received_at - (sent_at - created_at)
    return min(max(derived, 0.0), received_at)


def surviving(versions: Iterable[Version], owner: str | None) -> list[Surviving]:
    """The signals that hold among `versions`, all of one answer, in an order that depends on nothing but them.

    `owner` is the interaction's user key: the voter of events that name nobody.
    """
    default = owner or OWNER
    latest: dict[tuple[str, str, str, int], tuple[float, str, Version | None]] = {}
    for version in versions:
        voter = version.user_key or default
        other = (version.other_response_id or "", version.other_choice) if version.signal in PAIR_SIGNALS else ("", 0)
        is_set = version.operation == "set"
        _keep(latest, (voter, version.signal, *other), version, version if is_set else None)
        if is_set and version.signal in OPPOSITES:
            _keep(latest, (voter, OPPOSITES[version.signal], *other), version, None)
    held = [
        Surviving(key[0], key[1], version.value, version)
        for key, (_, _, version) in latest.items()
        if version is not None
    ]
    held.sort(key=lambda signal: (signal.version.derived_at, signal.version.event_id))
    return held


def _keep(
    latest: dict[tuple[str, str, str, int], tuple[float, str, Version | None]],
    key: tuple[str, str, str, int],
    version: Version,
    holds: Version | None,
) -> None:
    """Put what `version` says about `key` in place if it is the greatest so far."""
    known = latest.get(key)
    if known is None or (known[0], known[1]) < (version.derived_at, version.event_id):
        latest[key] = (version.derived_at, version.event_id, holds)
