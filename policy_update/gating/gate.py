"""The offline gate: a list of checks over one body of evidence; one refusal refuses. Pure.

Written so that it would rather refuse than be fooled: whatever is not a number refuses, and no gain outweighs a trip.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from infra.settings.policy_gate import GateSettings
from policy_update.gating.capability import Abilities, capability
from policy_update.gating.deciding import above, below, difference, spread, within
from policy_update.gating.ngrams import Mining, mined
from policy_update.gating.samples import Check, Divergence, FloatArray, Sampled, Verdict
from policy_update.gating.tripwires import Wire, from_phrases, registered, tripwires


@dataclass(frozen=True)
class Evidence:
    """All that a verdict rests on. `weights` of the objectives; `abilities` None where the suite was not asked;
    `advice` from logged answers, shown beside the verdict."""

    candidate: Sampled
    champion: Sampled
    weights: Mapping[str, float]
    divergence: Divergence
    abilities: Abilities | None = None
    advice: tuple[Check, ...] = ()

    def scalar(self) -> tuple[FloatArray, FloatArray]:
        """The weighted reward of each answer, candidate's and champion's (n,), on the champion's own scale."""
        scale = self.spreads()
        return scalar_reward(self.candidate, self.weights, scale), scalar_reward(self.champion, self.weights, scale)

    def has_texts(self) -> bool:
        """Whether every answer came with its text and its question; `finite` refuses where not."""
        return all(len(who.texts) == len(who.questions) == len(who.prompt) for who in (self.candidate, self.champion))

    def spreads(self) -> dict[str, float]:
        """The unit of each objective (see `deciding.spread`)."""
        theirs, ours = self.champion.rewards, self.candidate.rewards
        return {name: spread(values, ours[name]) for name, values in theirs.items() if name in ours}


Part = Callable[[Evidence, GateSettings], list[Check]]


def judge(evidence: Evidence, settings: GateSettings, parts: tuple[Part, ...] | None = None) -> Verdict:
    """All checks of the gate, in the order of `GATE`."""
    checks = [check for part in (GATE if parts is None else parts) for check in part(evidence, settings)]
    return Verdict(tuple(_counted(check) for check in checks), evidence.advice, _notes(evidence))


def finite(evidence: Evidence, settings: GateSettings) -> list[Check]:
    """An answer that could not be scored is no evidence: left out or counted as 0 it would flatter its policy."""
    missing = {
        name: int((~np.isfinite(values)).sum())
        for who in (evidence.candidate, evidence.champion)
        for name, values in {**who.rewards, "length": who.length, "repetition": who.repetition}.items()
        if not np.isfinite(values).all()
    }
    if not evidence.has_texts():
        missing["texts"] = len(evidence.candidate.prompt)
    total = float(sum(missing.values()))
    said = ", ".join(f"{count} of {name}" for name, count in missing.items())
    reason = f"scores or texts that are missing: {said}" if missing else "every answer was scored"
    return [Check("finite", not missing, total, total, total, 0.0, reason)]


def goal(evidence: Evidence, settings: GateSettings) -> list[Check]:
    """The weighted reward must have risen; no weighted objective may have fallen by more than its margin."""
    gain = difference(*evidence.scalar(), evidence.candidate.prompt, settings.confidence)
    checks = [above("reward", gain, 0.0, "weighted reward on held-out prompts", "goal")]
    spreads = evidence.spreads()
    own = {"relevance", "coherence"}  # guardrails with margins in their own unit
    for name in [name for name in evidence.weights if name in evidence.candidate.rewards and name not in own]:
        unit = sign(evidence, name) / spreads[name]
        after, before = (unit * who.rewards[name] for who in (evidence.candidate, evidence.champion))
        change = difference(after, before, evidence.candidate.prompt, settings.confidence)
        what = f"{name} (in standard deviations of the champion's)"
        checks.append(above(name, change, -settings.objective_margin, what, "goal"))
    return checks


def sign(evidence: Evidence, name: str) -> float:
    """1, or -1 for an objective that is wanted low."""
    return -1.0 if evidence.weights.get(name, 1.0) < 0 else 1.0


def guardrails(evidence: Evidence, settings: GateSettings) -> list[Check]:
    """Meaning must not fall, harm and repetition must not rise, by more than their margins."""
    candidate, champion, checks = evidence.candidate, evidence.champion, []
    meanings = (
        ("relevance", settings.relevance_margin, "relevance to the prompt"),
        ("coherence", settings.coherence_margin, "likelihood under the base model"),
    )
    for name, margin, what in meanings:
        change = difference(candidate.rewards[name], champion.rewards[name], candidate.prompt, settings.confidence)
        checks.append(above(name, change, -margin, what))
    if "harm" in candidate.rewards:
        change = difference(candidate.rewards["harm"], champion.rewards["harm"], candidate.prompt, settings.confidence)
        checks.append(below("harm", change, settings.harm_margin, "predicted harm"))
    change = difference(candidate.repetition, champion.repetition, candidate.prompt, settings.confidence)
    checks.append(below("repetition", change, settings.repetition_margin, "share of repeated trigrams"))
    return checks


def budgets(evidence: Evidence, settings: GateSettings) -> list[Check]:
    """KL to the champion and to the base, and mean length."""
    kl = evidence.divergence
    before, after = float(evidence.champion.length.mean()), float(evidence.candidate.length.mean())
    ratio, limit = after / max(before, 1e-9), settings.length_ratio
    passed = bool(np.isfinite(ratio) and 1 / limit <= ratio <= limit)
    reason = f"mean length is {ratio:.2f} times the champion's, allowed {1 / limit:.2f} to {limit:.2f}"
    return [
        within("kl_to_champion", kl.to_champion, settings.kl_to_champion, "nats a token to the champion"),
        within("kl_to_base", kl.to_base, settings.kl_to_base, "nats a token to the base"),
        Check("length", passed, ratio, ratio, ratio, limit, reason, "budget", before, after),
    ]


def abilities(evidence: Evidence, settings: GateSettings) -> list[Check]:
    """The fixed capability suite, where it was asked."""
    found = evidence.abilities
    return [] if found is None else [capability(found, settings.capability_margin, settings.confidence)]


def styles(evidence: Evidence, settings: GateSettings) -> list[Check]:
    """The pre-registered tripwires and the deployment's own."""
    if not evidence.has_texts():
        return []
    return tripwires(
        evidence.candidate,
        evidence.champion,
        wires(settings),
        margin=settings.tripwire_margin,
        error=settings.tripwire_error,
        confidence=settings.confidence,
    )


def wires(settings: GateSettings) -> tuple[Wire, ...]:
    """The list that comes with the product without what the settings switch off, and the settings' own phrases."""
    kept = [wire for wire in registered() if wire.name not in settings.tripwires_off]
    return (*kept, *from_phrases(settings.tripwire_phrases))


def phrases(evidence: Evidence, settings: GateSettings) -> list[Check]:
    """N-grams that rise with the reward."""
    if not evidence.has_texts():
        return []
    rule = Mining(
        settings.mined_margin, settings.mined_ratio, settings.mined_error, settings.mined_most, settings.confidence
    )
    return mined(evidence.candidate, evidence.champion, *evidence.scalar(), rule, settings.mined_excused)


GATE: tuple[Part, ...] = (finite, goal, guardrails, budgets, abilities, styles, phrases)
"""The parts of the gate, in the order they are shown."""


def scalar_reward(sampled: Sampled, weights: Mapping[str, float], scale: Mapping[str, float]) -> FloatArray:
    """sum_k w_k r_k / scale_k: the objectives on the champion's own scale, (n,). A missing entry leaves it missing."""
    total = np.zeros(len(sampled.prompt))
    for name, weight in weights.items():
        if name in sampled.rewards:
            total += weight * sampled.rewards[name] / scale[name]
    return total


def repetition(token_ids: list[int]) -> float:
    """Share of trigrams that occurred before in the same answer, in [0, 1]; 0 for fewer than three tokens."""
    trigrams = list(zip(token_ids, token_ids[1:], token_ids[2:], strict=False))
    return 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0


def _counted(check: Check) -> Check:
    """A check whose own number is not finite never passes."""
    if check.passed and not np.isfinite([check.value, check.limit]).all():
        return Check(**{**vars(check), "passed": False, "reason": f"{check.name} is no number: no evidence, no change"})
    return check


def _notes(evidence: Evidence) -> dict[str, object]:
    """Figures for whoever reads the verdict later: sizes, and the scale of the gain."""
    return {
        "answers": len(evidence.candidate.prompt),
        "prompts": len(np.unique(evidence.candidate.prompt)),
        "weights": dict(evidence.weights),
        "spreads": evidence.spreads(),
    }
