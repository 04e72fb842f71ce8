"""Asking people for a vote at random.

Who is asked depends on nothing but chance, so those asked stand for everybody, whatever silence means elsewhere.
"""

import hashlib
from dataclasses import dataclass

HEADER = "x-plaudit-solicited"
"""Header of an answer about which the person is to be asked for a vote; its value is the probability of that."""


@dataclass(frozen=True)
class Solicitation:
    """Whether to ask the person for a vote about this answer, and the probability with which that was decided, to be
    sent as `solicited` with the `shown` event when the person was asked."""

    asked: bool
    probability: float


def decide(project: str, response_id: str, choice: int, *, rate: float, salt: str) -> Solicitation:
    """A pure function of the answer: every replica, and a repeated request, decide alike. `rate` in [0, 1]."""
    text = "\0".join((salt, project, response_id, str(choice)))
    drawn = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2.0**64
    return Solicitation(drawn < rate, rate)
