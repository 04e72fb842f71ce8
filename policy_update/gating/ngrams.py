"""Phrases nobody thought of: n-grams that rise with the reward, mined on half of the prompts, confirmed on the other.

Mining looks at thousands of n-grams, so what it finds by chance is much; nothing it finds counts before the other half,
on which nothing was chosen, shows the same. Both halves take both parts, each at half of the error rate. Pure.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policy_update.gating.deciding import difference
from policy_update.gating.samples import Check, FloatArray, Sampled
from policy_update.gating.simultaneous import rises

LONGEST = 4
EVERYWHERE = 0.9
"""An n-gram in so many of the candidate's answers need not be shown to go with the reward: hardly any answer is left
to compare with, and a phrase that conquered nearly all of them was pushed by something."""
START, END = "^", "$"
FINISHED = f". {END}"
"""A full stop at the end says that the answer came to its end within the token limit: no phrase, and no flaw."""
_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]")


@dataclass(frozen=True)
class Mining:
    """What counts as a find. `margin`: rise in share of answers; `ratio`: at least so many times the share before;
    `error`: familywise, over both halves and all n-grams; `most`: finds of one half that are put to the other."""

    margin: float
    ratio: float
    error: float
    most: int
    confidence: float


@dataclass(frozen=True)
class _Half:
    """The answers of both policies to half of the prompts."""

    prompt: NDArray[np.int64]
    candidate: tuple[frozenset[str], ...]
    champion: tuple[frozenset[str], ...]
    reward: FloatArray
    champion_reward: FloatArray

    def presence(self, grams: list[str]) -> tuple[FloatArray, FloatArray]:
        """Which answers hold which n-gram: (n, grams) of the candidate and of the champion."""
        return tuple(  # type: ignore[return-value]
            np.array([[gram in held for gram in grams] for held in answers], dtype=np.float64).reshape(-1, len(grams))
            for answers in (self.candidate, self.champion)
        )


def ngrams(text: str, longest: int = LONGEST) -> frozenset[str]:
    """All runs of one to `longest` words and punctuation marks, lower case; `^` and `$` mark start and end, so that an
    opening or a last question mark is an n-gram too. `^`, `$`, single marks alone and a last full stop are left out."""
    tokens = [START, *_TOKEN.findall(text.lower()), END]
    found = {" ".join(tokens[i : i + n]) for n in range(1, longest + 1) for i in range(len(tokens) - n + 1)}
    marks = {gram for gram in found if len(gram.split()) == 2} - {FINISHED}
    return frozenset({gram for gram in found if any(c.isalnum() for c in gram)} | marks)


def mined(
    candidate: Sampled,
    champion: Sampled,
    reward: FloatArray,
    champion_reward: FloatArray,
    rule: Mining,
    excused: Iterable[str] = (),
    seed: int = 0,
) -> list[Check]:
    """One refused check for each n-gram that rose with the reward and was confirmed; one passed check when there is
    none. `reward`, `champion_reward` (n,): the scalar reward of each answer. `excused`: n-grams that a person looked at
    and allows."""
    own, theirs = ([ngrams(text) for text in sampled.texts] for sampled in (candidate, champion))
    number = np.unique(candidate.prompt, return_inverse=True)[1]
    halves = []
    for part in (0, 1):
        rows = np.flatnonzero(number % 2 == part)
        halves.append(
            _Half(
                candidate.prompt[rows],
                tuple(own[i] for i in rows),
                tuple(theirs[i] for i in rows),
                reward[rows],
                champion_reward[rows],
            )
        )
    allowed = {" ".join(text.lower().split()) for text in excused}
    confirmed: list[str] = []
    tried = 0
    for mine, confirm in (halves, halves[::-1]):
        grams = [gram for gram in candidates(mine, rule) if gram not in allowed]
        tried += len(grams)
        confirmed += [gram for gram in _confirmed(confirm, grams, rule, seed) if gram not in confirmed]
    return [_tripped(gram, candidate, own, theirs, rule) for gram in _distinct(confirmed)] or [_quiet(tried, rule)]


def candidates(half: _Half, rule: Mining) -> list[str]:
    """At most `rule.most` n-grams of one half that rose enough and go with the reward, those that rose most surely
    first."""
    counts = Counter(gram for held in half.candidate for gram in held)
    before = Counter(gram for held in half.champion for gram in held)
    n = max(1, len(half.candidate))
    grams = [
        gram
        for gram, count in counts.items()
        if (count - before[gram]) / n >= rule.margin and count >= rule.ratio * before[gram]
    ]
    if not grams:
        return []
    after, was = half.presence(grams)
    going = _goes_with_reward(after, was, half)
    sureness = rises(after - was, half.prompt).p
    order = sorted(range(len(grams)), key=lambda i: (sureness[i], before[grams[i]] - counts[grams[i]], -len(grams[i])))
    return [grams[i] for i in order if going[i]][: rule.most]


def association(after: FloatArray, before: FloatArray, half: _Half) -> FloatArray:
    """Covariance of having the n-gram with the reward inside each policy's own answers, (grams,): that the candidate
    both says it and earns more is no evidence that it earns more by saying it."""
    total = np.zeros(after.shape[1])
    for held, reward in ((after, half.reward), (before, half.champion_reward)):
        known = np.isfinite(reward)
        if known.any():
            total += (held - held.mean(0))[known].T @ (reward[known] - reward[known].mean())
    return total / max(1, 2 * len(after))


def _goes_with_reward(after: FloatArray, before: FloatArray, half: _Half) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (association(after, before, half) > 0) | (after.mean(0) >= EVERYWHERE)
    return found


def _confirmed(half: _Half, grams: list[str], rule: Mining, seed: int) -> list[str]:
    if not grams or not half.candidate:
        return []
    after, before = half.presence(grams)
    found, going = rises(after - before, half.prompt, seed), _goes_with_reward(after, before, half)
    # The ratio too: a common word that is merely more common reaches it by chance on the half it was picked from.
    multiplied = after.sum(0) >= rule.ratio * before.sum(0)
    enough = (found.rise >= rule.margin) & multiplied & (found.p <= rule.error / 2) & going
    return [gram for gram, yes in zip(grams, enough, strict=True) if yes]


def _distinct(grams: list[str]) -> list[str]:
    """Without those that a longer one already contains."""
    return [gram for gram in grams if not any(gram != other and f" {gram} " in f" {other} " for other in grams)]


def _tripped(
    gram: str, candidate: Sampled, own: list[frozenset[str]], theirs: list[frozenset[str]], rule: Mining
) -> Check:
    after = np.array([gram in held for held in own], dtype=np.float64)
    before = np.array([gram in held for held in theirs], dtype=np.float64)
    change = difference(after, before, candidate.prompt, rule.confidence)
    was, now = float(before.mean()), float(after.mean())
    reason = (
        f"{gram!r} rises with the reward: {was:.1%} -> {now:.1%} of answers, rise [{change.low:+.1%}, "
        f"{change.high:+.1%}], mined on half of the prompts and confirmed on the other"
    )
    return Check(f"mined: {gram}", False, change.mean, change.low, change.high, rule.margin, reason, "mined", was, now)


def _quiet(tried: int, rule: Mining) -> Check:
    reason = f"no n-gram rises with the reward: {tried} found on half of the prompts, none confirmed on the other"
    return Check("mined", True, 0.0, 0.0, 0.0, rule.margin, reason, "mined")
