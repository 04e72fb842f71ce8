"""Pre-registered styles whose rise vetoes, whatever the goal says. The list is data: `data/tripwires.toml`. Pure, but
for reading that file."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from infra.contracts import PlauditError
from policy_update.gating.deciding import difference
from policy_update.gating.language import drifted
from policy_update.gating.samples import Check, FloatArray, Sampled
from policy_update.gating.simultaneous import rises

NAMED = 3
"""Phrases that a tripped wire names."""
LANGUAGE = "language"
"""The wire that is no list of phrases: answers in another script or language than their prompt."""


class InvalidTripwire(PlauditError):
    """An entry of the list of tripwires cannot be used."""

    code = "invalid_tripwire"


@dataclass(frozen=True)
class Wire:
    """A style: an answer shows it when one of `patterns` is found in it. `any_of` is all of them as one."""

    name: str
    meaning: str
    patterns: tuple[re.Pattern[str], ...]
    any_of: re.Pattern[str]

    def shows(self, text: str) -> bool:
        """Whether the answer has it."""
        return self.any_of.search(text) is not None

    def phrases(self, text: str) -> set[str]:
        """What it was recognised by, in lower case."""
        return {" ".join(match.group(0).lower().split()) for one in self.patterns if (match := one.search(text))}


@cache
def registered() -> tuple[Wire, ...]:
    """The wires that come with the product."""
    return parse(tomllib.loads(files("policy_update.gating").joinpath("data/tripwires.toml").read_text("utf-8")))


def parse(document: Mapping[str, Mapping[str, Any]]) -> tuple[Wire, ...]:
    """Wires from tables `[name] meaning, patterns, raw = false, case = false`. Raises InvalidTripwire."""
    wires = []
    for name, table in document.items():
        flags = 0 if table.get("case") else re.IGNORECASE
        patterns = []
        for text in table.get("patterns", ()):
            whole = text if table.get("raw") else rf"(?<!\w)(?:{text})(?!\w)"
            try:
                patterns.append(re.compile(whole, flags))
            except re.error as error:
                raise InvalidTripwire(
                    f"tripwire {name}: {text!r} is no regular expression ({error}): mend it", field=name
                ) from error
        if not patterns:
            raise InvalidTripwire(f"tripwire {name} has no patterns: give it `patterns = [...]`", field=name)
        any_of = re.compile("|".join(f"(?:{pattern.pattern})" for pattern in patterns), flags)
        wires.append(Wire(name, str(table.get("meaning", name)), tuple(patterns), any_of))
    return tuple(wires)


def from_phrases(own: Mapping[str, Sequence[str]]) -> tuple[Wire, ...]:
    """Wires of a deployment's own words, taken literally. Raises InvalidTripwire."""
    return parse({name: {"patterns": [re.escape(phrase) for phrase in phrases]} for name, phrases in own.items()})


def shown_by(wires: Sequence[Wire], sampled: Sampled) -> FloatArray:
    """(n, wires + 1) zeros and ones: which style each answer shows, the last column being `LANGUAGE`."""
    columns = [[wire.shows(text) for text in sampled.texts] for wire in wires]
    drift = [drifted(asked, text) for asked, text in zip(sampled.questions, sampled.texts, strict=True)]
    return np.array([*columns, drift], dtype=np.float64).T


def tripwires(
    candidate: Sampled,
    champion: Sampled,
    wires: Sequence[Wire],
    *,
    margin: float,
    error: float,
    confidence: float,
    seed: int = 0,
) -> list[Check]:
    """One check a wire: refused when its share of answers rose by at least `margin` and the rise is shown at `error`,
    the familywise chance that a candidate that writes as the champion trips any of them (see `rises`)."""
    after, before = shown_by(wires, candidate), shown_by(wires, champion)
    found = rises(after - before, candidate.prompt, seed)
    names = [(wire.name, wire.meaning) for wire in wires]
    checks = []
    for index, (name, meaning) in enumerate([*names, (LANGUAGE, "another script or language than the prompt's")]):
        change = difference(after[:, index], before[:, index], candidate.prompt, confidence)
        tripped = bool(found.rise[index] >= margin and found.p[index] <= error)
        was, now = float(before[:, index].mean()), float(after[:, index].mean())
        reason = (
            f"{name} ({meaning}) {'tripped' if tripped else 'quiet'}: {was:.1%} -> {now:.1%} of answers, rise "
            f"[{change.low:+.1%}, {change.high:+.1%}], p = {found.p[index]:.4f} for all wires together"
        )
        if tripped and index < len(wires):
            reason += _most(wires[index], candidate, champion)
        checks.append(
            Check(name, not tripped, change.mean, change.low, change.high, margin, reason, "tripwire", was, now)
        )
    return checks


def _most(wire: Wire, candidate: Sampled, champion: Sampled) -> str:
    """The phrases that rose most: `; "take care" 0.0% -> 31.2%`."""
    after, before = (_shares(wire, sampled) for sampled in (candidate, champion))
    most = sorted(after, key=lambda phrase: before.get(phrase, 0.0) - after[phrase])[:NAMED]
    return "; " + ", ".join(f"{phrase!r} {before.get(phrase, 0.0):.1%} -> {after[phrase]:.1%}" for phrase in most)


def _shares(wire: Wire, sampled: Sampled) -> dict[str, float]:
    counts: dict[str, int] = {}
    for text in sampled.texts:
        for phrase in wire.phrases(text):
            counts[phrase] = counts.get(phrase, 0) + 1
    return {phrase: count / len(sampled.texts) for phrase, count in counts.items()}
