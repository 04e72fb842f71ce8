"""What is known of how far a person is trusted: one version of it, as the store keeps it."""

from typing import Literal

import msgspec

TrustStatus = Literal["active", "quarantined"]


class PersonTrust(msgspec.Struct, frozen=True, kw_only=True):
    """One estimate of one person, never changed afterwards.

    `weight` in [0, 1] multiplies each vote: 0 while quarantined, else reliability relative to a newcomer's, times the
    cap. `reliability` is the posterior mean share of votes that follow a taste, with its 95 % interval. `votes` is the
    number of opinions the estimate rests on. `reasons` are words for people. Times are Unix seconds: made at
    `estimated_at`, from the ledger as received up to `votes_until`.
    """

    user_key: str
    estimated_at: float
    votes_until: float
    weight: float
    reliability: float
    reliability_low: float
    reliability_high: float
    votes: int
    status: TrustStatus
    reasons: tuple[str, ...]
    config_hash: str


class Honeypot(msgspec.Struct, frozen=True, kw_only=True):
    """Two answers, each (response_id, choice), of which the better is known, and why. Times are Unix seconds."""

    honeypot_id: str
    better: tuple[str, int]
    worse: tuple[str, int]
    reason: str
    added_at: float
    retired_at: float | None = None


def too_few(missing: int) -> str:
    """Why nothing is estimated: so many votes are missing."""
    return f"{missing} more {'votes are' if missing > 1 else 'vote is'} needed before trust can be estimated"
