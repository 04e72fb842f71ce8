"""The policy: from evidence to start, hold, ramp, promote, roll back or stop, with the reason. Pure.

Rules are asked in order and the first that answers decides; a promotion is the last thing anything comes to. No
evidence, no change (contract 5): whatever is missing, stale, mismatched or not a number holds, and never promotes.
"""

from collections.abc import Mapping
from dataclasses import replace

from ab_testing.decisions_holdback import HOLDBACK_RULES
from ab_testing.decisions_rules import RULES
from ab_testing.decisions_situation import Boundaries, Proof, Situation, Verdict, boundary
from infra.contracts import Arm

__all__ = ["Boundaries", "Proof", "Situation", "Verdict", "boundary", "decide", "decide_among", "passing"]

UNTRUSTED = ("sample_ratio_mismatch", "arm_flips")
"""Holds about the assignment itself: found for one candidate, they speak of all."""


def decide(situation: Situation) -> Verdict:
    """The first answer of the rules, in order."""
    for rule in HOLDBACK_RULES if situation.kind == "holdback" else RULES:
        verdict = rule(situation)
        if verdict is not None:
            return verdict
    raise AssertionError("the last rule always answers")


def passing(verdicts: Mapping[Arm, Verdict]) -> list[Arm]:
    """Candidates that may be promoted now, in order: none where the assignment itself is in doubt."""
    if any(verdict.code in UNTRUSTED for verdict in verdicts.values()):
        return []
    return [arm for arm, verdict in verdicts.items() if verdict.kind == "promote"]


def decide_among(verdicts: Mapping[Arm, Verdict], best: Arm | None) -> Verdict:
    """One verdict from those of all remaining candidates; `best` of those that are `passing`.

    What ends one candidate ends it alone while others remain (`drop`); the ramp grows when all of them may grow, for it
    has one share; the experiment stops when all of them would.
    """
    if len(verdicts) == 1:
        return next(iter(verdicts.values()))
    ending = [arm for arm, verdict in verdicts.items() if verdict.kind in ("rollback", "stop")]
    if ending and len(ending) < len(verdicts):
        left = verdicts[ending[0]]
        return Verdict("drop", left.code, f"{ending[0]} leaves: {left.reason}", arm=ending[0])
    if ending:
        told = "; ".join(f"{arm}: {verdict.reason}" for arm, verdict in verdicts.items())
        harmed = [arm for arm in ending if verdicts[arm].kind == "rollback"]
        return replace(verdicts[(harmed or ending)[0]], reason=told)
    if best is not None:
        return verdicts[best]
    for kind in ("hold", "ramp"):
        held = {arm: verdict for arm, verdict in verdicts.items() if verdict.kind == kind}
        if held:
            first, verdict = next(iter(held.items()))
            return replace(verdict, reason=f"{first}: {verdict.reason}")
    raise AssertionError("candidates that may all be promoted have a best")
