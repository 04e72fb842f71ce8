"""Honeypots: two answers to one prompt of which the better is known. Who cannot tell is not looking.

Here they are kept and chosen; a duel between the two is scored by `ingest.trust.reliability`. Whoever serves them shows
what `choose` says and logs the probability it gives.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from infra.contracts import PlauditError, uuid7
from infra.runtime import Context
from ingest.access.audit import operator, record
from ingest.trust.gathering import Answer
from ingest.trust.honeypots_repository import HoneypotRepository
from ingest.trust.records import Honeypot


class InvalidHoneypot(PlauditError):
    """A pair that cannot be a honeypot."""

    code = "invalid_honeypot"
    status = 422


class UnknownHoneypot(PlauditError):
    """There is no honeypot in use with that id."""

    code = "unknown_honeypot"
    status = 404


class Choice(NamedTuple):
    """What to show on one occasion: a honeypot or, mostly, none; `probability` that the choice fell so, to be logged;
    and whether the better answer stands first, a coin of its own."""

    honeypot: Honeypot | None
    probability: float
    better_first: bool


def choose(honeypots: Sequence[Honeypot], occasion: str, rate: float, salt: str) -> Choice:
    """Whether and which honeypot to show on `occasion` (any id made once a request), at `rate` in [0, 1].

    A pure function: the same occasion and salt give the same choice, on every replica. `salt` should be secret, or
    people could tell honeypots beforehand.
    """
    digest = hashlib.sha256(f"{salt}\x1f{occasion}".encode()).digest()
    uniform = int.from_bytes(digest[:8], "big") / 2.0**64
    first = bool(digest[16] & 1)
    if not honeypots or uniform >= rate:
        return Choice(None, 1.0 - rate if honeypots else 1.0, first)
    index = int.from_bytes(digest[8:16], "big") % len(honeypots)
    chosen = sorted(honeypots, key=lambda one: one.honeypot_id)[index]
    return Choice(chosen, rate / len(honeypots), first)


def add_honeypot(context: Context, better: Answer, worse: Answer, reason: str) -> Honeypot:
    """Keep a pair of known answers as a honeypot. Raises InvalidHoneypot."""
    if better == worse:
        raise InvalidHoneypot(f"better and worse are both {better}; name two answers", field="worse")
    if not reason.strip():
        raise InvalidHoneypot("reason is empty; say why the one is known to be better", field="reason")
    now = context.clock.now()
    honeypot = Honeypot(honeypot_id=str(uuid7()), better=better, worse=worse, reason=reason.strip(), added_at=now)
    project = context.settings.project
    with context.database.transaction() as connection:
        repository = HoneypotRepository(connection, project)
        for name, answer in (("better", better), ("worse", worse)):
            if not repository.known(answer):
                raise InvalidHoneypot(
                    f"{name} is {answer[0]!r}, which is no known interaction; send it to POST /v1/interactions first",
                    field=name,
                )
        repository.add(honeypot)
        record(connection, operator(), "honeypot.added", {"honeypot": honeypot.honeypot_id}, project=project, at=now)
    return honeypot


def retire_honeypot(context: Context, honeypot_id: str) -> None:
    """Show it no more. Raises UnknownHoneypot."""
    now, project = context.clock.now(), context.settings.project
    with context.database.transaction() as connection:
        if not HoneypotRepository(connection, project).retire(honeypot_id, now):
            raise UnknownHoneypot(
                f"there is no honeypot {honeypot_id!r} in use; see `plaudit ingest honeypots list`", field="honeypot_id"
            )
        record(connection, operator(), "honeypot.retired", {"honeypot": honeypot_id}, project=project, at=now)


def list_honeypots(context: Context, *, in_use: bool = False) -> list[Honeypot]:
    """Every honeypot, oldest first; or those in use."""
    with context.database.reading() as connection:
        return HoneypotRepository(connection, context.settings.project).all(in_use=in_use)
