"""The offline gate: reward up, guardrails not down, KL and length within budget, with written reasons. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infra.settings.policy_gate import GateSettings
from infra.statistics import Estimate, clustered_difference


@dataclass(frozen=True)
class Sampled:
    """Answers of one policy on the held-out prompts. `prompt` (n,) numbers the prompt of each answer; `rewards` maps
    each objective to (n,), NaN where missing; `length` (n,) tokens; `repetition` (n,) share of repeated trigrams."""

    prompt: NDArray[np.int64]
    rewards: Mapping[str, NDArray[np.float64]]
    length: NDArray[np.float64]
    repetition: NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """One condition of the gate. `low` and `high` bound `value`; `limit` is what it was held against."""

    name: str
    passed: bool
    value: float
    low: float
    high: float
    limit: float
    reason: str


@dataclass(frozen=True)
class Verdict:
    """Passed, or refused with reasons."""

    checks: tuple[Check, ...]
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        return [check.reason for check in self.checks if not check.passed]


def difference(
    candidate: NDArray[np.float64], champion: NDArray[np.float64], prompt: NDArray[np.int64], confidence: float
) -> Estimate:
    """Candidate minus champion, answer i against answer i of the same prompt (n,), with an interval clustered by
    prompt. Pairs with a missing side are left out."""
    keep = ~(np.isnan(candidate) | np.isnan(champion))
    return clustered_difference(candidate[keep], champion[keep], prompt[keep], confidence=confidence)


def scalar_reward(sampled: Sampled, weights: Mapping[str, float], scale: Mapping[str, float]) -> NDArray[np.float64]:
    """sum_k w_k r_k / scale_k: the objectives on the champion's own scale, (n,). A missing entry leaves it missing."""
    total = np.zeros(len(sampled.prompt))
    for name, weight in weights.items():
        if name in sampled.rewards:
            total += weight * sampled.rewards[name] / max(scale[name], 1e-9)
    return total


def judge(
    candidate: Sampled,
    champion: Sampled,
    weights: Mapping[str, float],
    kl_to_champion: float,
    kl_to_base: float,
    settings: GateSettings,
) -> Verdict:
    """All checks of the gate. Any non-finite number refuses: no evidence, no change."""
    scale = {k: float(np.nanstd(v)) for k, v in champion.rewards.items()}
    gain = difference(
        scalar_reward(candidate, weights, scale),
        scalar_reward(champion, weights, scale),
        candidate.prompt,
        settings.confidence,
    )
    checks = [
        _finite(candidate, champion),
        _above("reward", gain, 0.0, "weighted reward on held-out prompts"),
        *_guardrails(candidate, champion, settings),
        _within("kl_to_champion", kl_to_champion, settings.kl_to_champion, "nats a token to the champion"),
        _within("kl_to_base", kl_to_base, settings.kl_to_base, "nats a token to the base"),
        _length(candidate, champion, settings),
    ]
    return Verdict(tuple(checks))


def _finite(candidate: Sampled, champion: Sampled) -> Check:
    """An answer that could not be scored is no evidence: left out or counted as 0 it would flatter its policy."""
    missing = {
        name: int((~np.isfinite(values)).sum())
        for who in (candidate, champion)
        for name, values in {**who.rewards, "length": who.length, "repetition": who.repetition}.items()
        if not np.isfinite(values).all()
    }
    total = float(sum(missing.values()))
    said = ", ".join(f"{count} of {name}" for name, count in missing.items())
    reason = f"scores that are not numbers: {said}" if missing else "every answer was scored"
    return Check("finite", not missing, total, total, total, 0.0, reason)


def _guardrails(candidate: Sampled, champion: Sampled, settings: GateSettings) -> list[Check]:
    checks = []
    meanings = (
        ("relevance", settings.relevance_margin, "relevance to the prompt"),
        ("coherence", settings.coherence_margin, "likelihood under the base model"),
    )
    for name, margin, what in meanings:
        change = difference(candidate.rewards[name], champion.rewards[name], candidate.prompt, settings.confidence)
        checks.append(_above(name, change, -margin, what))
    if "harm" in candidate.rewards:
        change = difference(candidate.rewards["harm"], champion.rewards["harm"], candidate.prompt, settings.confidence)
        checks.append(_below("harm", change, settings.harm_margin, "predicted harm"))
    change = difference(candidate.repetition, champion.repetition, candidate.prompt, settings.confidence)
    checks.append(_below("repetition", change, settings.repetition_margin, "share of repeated trigrams"))
    return checks


def _above(name: str, change: Estimate, limit: float, what: str) -> Check:
    passed = bool(np.isfinite(change.low) and change.low > limit)
    risen, fallen = ("rose", "did not rise enough") if limit >= 0 else ("held", "fell too far")
    word = risen if passed else fallen
    reason = f"{what} {word}: {_shown(change)}, lower end must exceed {limit:+.4f}"
    return Check(name, passed, change.mean, change.low, change.high, limit, reason)


def _below(name: str, change: Estimate, limit: float, what: str) -> Check:
    passed = bool(np.isfinite(change.high) and change.high < limit)
    word = "held" if passed else "rose too far"
    reason = f"{what} {word}: {_shown(change)}, upper end must stay under {limit:+.4f}"
    return Check(name, passed, change.mean, change.low, change.high, limit, reason)


def _shown(change: Estimate) -> str:
    return f"{change.mean:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"


def _within(name: str, value: float, limit: float, what: str) -> Check:
    passed = bool(np.isfinite(value) and value <= limit)
    reason = f"{value:.4f} {what}, {'within' if passed else 'over'} the budget of {limit:.4f}"
    return Check(name, passed, value, value, value, limit, reason)


def _length(candidate: Sampled, champion: Sampled, settings: GateSettings) -> Check:
    ratio = float(candidate.length.mean() / max(champion.length.mean(), 1e-9))
    limit = settings.length_ratio
    passed = bool(np.isfinite(ratio) and 1 / limit <= ratio <= limit)
    reason = f"mean length is {ratio:.2f} times the champion's, allowed {1 / limit:.2f} to {limit:.2f}"
    return Check("length", passed, ratio, ratio, ratio, limit, reason)


def repetition(token_ids: list[int]) -> float:
    """Share of trigrams that occurred before in the same answer, in [0, 1]; 0 for fewer than three tokens."""
    trigrams = list(zip(token_ids, token_ids[1:], token_ids[2:], strict=False))
    return 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0
