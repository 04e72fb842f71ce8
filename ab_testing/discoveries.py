"""The error budget of a stream of challengers, read off the ledger. Pure.

Every candidate of every challenge is one hypothesis, "it is better on no goal", in the order in which challenges began.
Its e-value is the mean of its goals' e-values (a mean of e-values is an e-value, whatever their dependence; were one
goal to reach `goals` times the threshold, so would the mean). What it was when its challenge ended stays in the stream,
promoted or not; nothing else is remembered, so the whole account follows from rows that cannot be changed.

Candidates tried at the same time have places of their own and know nothing of each other: a peer counts as an e-value
of 0 that was not a discovery, which only ever raises a threshold.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.contracts import Arm, Decision
from infra.settings.ab_testing import AbTestingSettings
from infra.statistics.online_fdr import next_log_threshold, power_spending

ENDS = ("promote", "rollback", "stop", "abort")
"""Kinds of rows with which a challenge ends, unless it is a holdback's."""


@dataclass(frozen=True)
class Discovery:
    """A hypothesis of the stream: its `position` from 1, the logarithm (nats) of its e-value, None: unknown, counts as
    an e-value of 0, and whether its candidate was promoted."""

    position: int
    log_e: float | None
    promoted: bool


@dataclass(frozen=True)
class Allowance:
    """What the stream asks of a candidate: `log_threshold` (nats) for its e-value, infinite when nothing is left.
    `spent`: share of the budget that is gone with it. `procedure` none: asks nothing."""

    procedure: str
    rate: float
    position: int
    log_threshold: float
    spent: float

    def document(self) -> dict[str, object]:
        """As stored with a decision; an infinite threshold as None."""
        finite = math.isfinite(self.log_threshold)
        return {
            "procedure": self.procedure,
            "rate": self.rate,
            "position": self.position,
            "log_threshold": self.log_threshold if finite else None,
            "spent": self.spent,
        }


NO_STREAM = Allowance("none", 1.0, 1, 0.0, 0.0)
"""Each challenger alone."""


def stream_of(decisions: Iterable[Decision], since: float = 0.0) -> list[Discovery]:
    """The stream so far: every candidate of every challenge that began at or after `since` and has ended."""
    begun: dict[str, list[Mapping[str, Any]]] = {}
    found: list[Discovery] = []
    for row in decisions:
        if row.kind == "start" and row.evidence.get("experiment_kind") == "challenge" and row.decided_at >= since:
            begun[row.experiment_id] = []
        elif row.kind == "drop" and row.experiment_id in begun:
            begun[row.experiment_id] += _entries(row)
        elif row.kind in ENDS and row.experiment_id in begun:
            entries = [*begun.pop(row.experiment_id), *_entries(row)]
            for entry in sorted(entries, key=lambda entry: entry.get("position", 0)):
                found.append(Discovery(len(found) + 1, entry["log_e"], bool(entry["promoted"])))
    return found


def _entries(row: Decision) -> Sequence[Mapping[str, Any]]:
    entries = row.evidence.get("stream")
    return entries if isinstance(entries, list) else [{"log_e": None, "promoted": row.kind == "promote"}]


def allowance(stream: Sequence[Discovery], rules: AbTestingSettings, peer: int = 0) -> Allowance:
    """What the next challenge's candidate must reach; `peer` counts candidates tried beside it, from 0."""
    if rules.fdr_procedure == "none":
        return NO_STREAM
    log_e = [-math.inf if known.log_e is None else known.log_e for known in stream] + [-math.inf] * peer
    promoted = [known.promoted for known in stream] + [False] * peer
    position = len(log_e) + 1
    gamma = power_spending(position, rules.fdr_horizon)
    threshold = next_log_threshold(log_e, promoted, rules.fdr_rate, gamma, rules.fdr_procedure)
    return Allowance(rules.fdr_procedure, rules.fdr_rate, position, threshold, min(1.0, float(gamma.sum())))


def mean_log_e(log_e: Sequence[float | None]) -> float | None:
    """Logarithm of the mean of e-values given as logarithms; None when one is not known."""
    known = [value for value in log_e if value is not None and not math.isnan(value)]
    if not known or len(known) < len(log_e):
        return None
    highest = max(known)
    if not math.isfinite(highest):
        return highest
    return highest + math.log(sum(math.exp(value - highest) for value in known) / len(known))


def entry_of(arm: Arm, adapter: str, log_e: float | None, allowed: Allowance, promoted: bool) -> dict[str, object]:
    """What the row that ends a challenge says of one candidate."""
    return {"arm": arm, "adapter": adapter, "log_e": log_e, "promoted": promoted, **allowed.document()}
