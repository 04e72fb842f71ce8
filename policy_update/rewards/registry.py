"""Rewards by name: what `policy_update.rewards.terms` may say, and the functions that come of it."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.settings.policy_rewards import PolicyRewardsSettings, RewardTerm
from policy_update.rewards import custom, safety, surface, verifiable
from policy_update.rewards.batch import AnswerBatch, FloatArray, InvalidReward, Reward
from policy_update.rewards.bounds import bounded
from policy_update.rewards.self_certainty import REFUSAL

SELF_CERTAINTY = "self_certainty"


@dataclass(frozen=True)
class Kind:
    """How a reward is made, the bound it has unless the configuration says another, its range under that bound, and the
    field of a prompt's reference without which it says nothing about any answer to that prompt."""

    make: Callable[..., Reward]
    bound: str
    within: tuple[float, float]
    needs: str = ""


KINDS: dict[str, Kind] = {
    "exact_match": Kind(verifiable.exact_match, "clip", (0, 1), "answer"),
    "math": Kind(verifiable.math, "clip", (0, 1), "answer"),
    "json_schema": Kind(verifiable.json_schema, "clip", (0, 1), "schema"),
    "regex": Kind(verifiable.regex, "clip", (0, 1)),
    "format": Kind(verifiable.format, "clip", (0, 1)),
    "repetition": Kind(surface.repetition, "clip", (-1, 0)),
    "length": Kind(surface.length, "clip", (-1, 0)),
    "lexicon": Kind(safety.lexicon, "clip", (-1, 0)),
    "classifier": Kind(safety.classifier, "clip", (-1, 0)),
}
CUSTOM_BOUND = "tanh"


@dataclass(frozen=True)
class BoundedReward:
    """A reward by the name the objectives call it, bounded to [-1, 1]."""

    name: str
    score: Reward
    bound: str
    scale: float
    needs: str = ""

    def silent(self, batch: AnswerBatch) -> list[bool]:
        """Which answers (N,) are to prompts that give nothing to check them by, whoever answers."""
        if not self.needs:
            return [False] * len(batch)
        return [reference is None or getattr(reference, self.needs) is None for reference in batch.references]

    def __call__(self, batch: AnswerBatch) -> FloatArray:
        """(N,) in [-1, 1], NaN where the reward says nothing."""
        return bounded(self.score(batch), self.bound, self.scale)


def build(settings: PolicyRewardsSettings, wanted: Mapping[str, float]) -> tuple[BoundedReward, ...]:
    """The terms among `wanted` (name -> weight, 0 for a limit), in that order. Raises InvalidReward, naming it."""
    if SELF_CERTAINTY in wanted:
        raise InvalidReward(REFUSAL, field=f"policy_update.objectives.{SELF_CERTAINTY}")
    return tuple(
        _build(name, settings.terms[name], settings.verifier_seconds) for name in wanted if name in settings.terms
    )


def _build(name: str, term: RewardTerm, seconds: float) -> BoundedReward:
    where = f"policy_update.rewards.terms.{name}"
    try:
        score, bound = _scorer(term, seconds)
    except InvalidReward as error:
        raise InvalidReward(f"{where}: {error.message}", field=where) from error
    needs = KINDS[term.kind].needs if term.kind in KINDS else ""
    return BoundedReward(name, score, term.bound or bound, term.scale, needs)


def _scorer(term: RewardTerm, seconds: float) -> tuple[Reward, str]:
    parameters = dict(term.parameters)
    if term.kind == SELF_CERTAINTY:
        raise InvalidReward(REFUSAL, field="kind")
    if custom.is_path(term.kind):
        return custom.checked(term.kind, parameters), CUSTOM_BOUND
    if term.kind not in KINDS:
        near = difflib.get_close_matches(term.kind, KINDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise InvalidReward(
            f"kind {term.kind!r} is not known{hint} Known: {', '.join(sorted(KINDS))}, or package.module:function",
            field="kind",
        )
    kind = KINDS[term.kind]
    known = inspect.signature(kind.make).parameters
    if "seconds" in known:
        parameters.setdefault("seconds", seconds)
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise InvalidReward(
            f"kind {term.kind!r} has no parameter {', '.join(unknown)}; it has {', '.join(sorted(known)) or 'none'}",
            field="parameters",
        )
    try:
        return kind.make(**parameters), kind.bound
    except TypeError as error:
        raise InvalidReward(f"kind {term.kind!r} with {parameters}: {error}", field="parameters") from error
