"""The rules of a holdback: the new champion against the one before. It can only be taken back, or kept."""

from ab_testing.decisions_rules import blind, harmful, mismatched, paused, silent, tripped, unusable
from ab_testing.decisions_situation import Rule, Situation, Verdict


def superseded(s: Situation) -> Verdict | None:
    """Somebody else is champion by now."""
    if s.champion_is_challenger:
        return None
    return Verdict("stop", "superseded", "the champion is no longer the one this holdback watches")


def kept(s: Situation) -> Verdict | None:
    """Long enough without harm. Asked of the watermark, but even a holdback that sees nothing comes to its end."""
    if s.now - s.started_at - s.paused_seconds < s.rules.holdback_seconds:
        return None
    return Verdict("stop", "kept", f"no harm was shown in {s.rules.holdback_seconds:g} s; the new champion stays")


def holding(s: Situation) -> Verdict:
    """Nothing to say yet."""
    return Verdict("hold", "holding", "no harm is shown so far")


def seen(rule: Rule) -> Rule:
    """`rule`, but a holdback whose time is over has come to its end even where the rule would have it wait."""

    def asked(s: Situation) -> Verdict | None:
        verdict = rule(s)
        if verdict is not None and verdict.kind == "hold":
            return kept(s) or verdict
        return verdict

    return asked


HOLDBACK_RULES: tuple[Rule, ...] = (
    superseded,
    tripped,
    seen(blind),
    harmful,
    seen(unusable),
    paused,
    kept,
    mismatched,
    silent,
    holding,
)
