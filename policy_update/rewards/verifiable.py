"""Rewards that check an answer against what the prompt's author gave: exact text, a pattern, JSON, a format.

1 right, 0 wrong, NaN where the prompt says nothing to check by. What could run for ever on a hostile answer (patterns,
schemas, mathematics) runs in a child process with a deadline; past it the reward is NaN, never 0: a verifier that gave
up knows nothing.
"""

import importlib.util
import re
import unicodedata
from collections.abc import Callable

from policy_update.rewards.batch import AnswerBatch, InvalidReward, Reward, each
from policy_update.rewards.child import VerifierChild

NOTHING = float("nan")
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


def normalized(text: str) -> str:
    """NFKC, lower case, single spaces, no punctuation at the ends: what two spellings of one answer share."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(" .,;:!?\"'`*()[]")


def exact_match(within: bool = False) -> Reward:
    """1 when the answer is the reference after `normalized`; with `within`, when it holds it as whole words."""

    def matches(text: str, wanted: str) -> bool:
        ours, theirs = normalized(text), normalized(wanted)
        if not within:
            return ours == theirs
        return bool(theirs) and re.search(rf"(?<!\w){re.escape(theirs)}(?!\w)", ours) is not None

    def score(batch: AnswerBatch, row: int) -> float:
        wanted = _answer(batch, row)
        return NOTHING if wanted is None else float(matches(batch.texts[row], wanted))

    return lambda batch: each(batch, lambda row: score(batch, row))


def math(seconds: float = 5.0) -> Reward:
    """1 when the answer's last mathematical expression equals the reference's, by the library `math-verify`. Raises
    InvalidReward when that is not installed."""
    _require("math_verify", "math-verify", "math")
    child = VerifierChild(seconds)

    def score(batch: AnswerBatch, row: int) -> float:
        wanted = _answer(batch, row)
        return NOTHING if wanted is None else child.ask({"kind": "math", "text": batch.texts[row], "wanted": wanted})

    return lambda batch: each(batch, lambda row: score(batch, row))


def json_schema(seconds: float = 5.0) -> Reward:
    """1 when the answer (or the first ``` block in it) is JSON valid under the prompt's schema, by `jsonschema-rs`.
    Raises InvalidReward when that is not installed."""
    _require("jsonschema_rs", "jsonschema-rs", "json_schema")
    child = VerifierChild(seconds)

    def score(batch: AnswerBatch, row: int) -> float:
        reference, text = batch.references[row], batch.texts[row]
        if reference is None or reference.schema is None:
            return NOTHING
        fenced = _FENCE.search(text)
        text = fenced.group(1) if fenced else text
        return child.ask({"kind": "schema", "text": text, "schema": reference.schema})

    return lambda batch: each(batch, lambda row: score(batch, row))


def regex(pattern: str = "", full: bool = False, seconds: float = 5.0) -> Reward:
    """1 when the pattern is found in the answer (`full`: matches all of it), `.` matching line ends too. Raises
    InvalidReward for a pattern that is none."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise InvalidReward(
            f"regex: pattern {pattern!r} is no regular expression ({error})", field="pattern"
        ) from error
    if not pattern:
        raise InvalidReward("regex: no pattern is given: every answer would hold it", field="pattern")
    child = VerifierChild(seconds)

    def score(batch: AnswerBatch, row: int) -> float:
        return child.ask({"kind": "regex", "text": batch.texts[row], "pattern": pattern, "full": full})

    return lambda batch: each(batch, lambda row: score(batch, row))


_ITEM = re.compile(r"\s*(?:[-*]|\d+[.)])\s+\S")
_SENTENCE = re.compile(r"[A-Z0-9\"'].*[.!?][\"')]*", re.DOTALL)
_BOXED = re.compile(r"\\boxed\{[^{}]+\}")
_THINK = re.compile(r"<think>(?:(?!</?think>).)*</think>(?:(?!</?think>).)+", re.DOTALL)
FORMATS: dict[str, Callable[[str], bool]] = {
    "sentence": lambda text: _SENTENCE.fullmatch(text) is not None,
    "one_line": lambda text: bool(text) and "\n" not in text,
    "list": lambda text: sum(_ITEM.match(line) is not None for line in text.splitlines()) >= 2,
    "boxed": lambda text: _BOXED.search(text) is not None,
    "think": lambda text: _THINK.fullmatch(text) is not None,
}
"""Forms of an answer, by name: begins like and ends as a sentence; one line; two list items or more; a \\boxed{}
result; one <think> block and then an answer."""


def format(name: str = "", finished: bool = False) -> Reward:  # the reward's name in the registry
    """1 when the answer has the named form (`FORMATS`); with `finished`, only if the token limit did not cut it."""
    if name not in FORMATS:
        raise InvalidReward(f"format: name {name!r} is not known; there are {', '.join(sorted(FORMATS))}", field="name")
    wanted = FORMATS[name]

    def score(batch: AnswerBatch, row: int) -> float:
        cut = finished and bool(batch.truncated[row])
        return float(not cut and wanted(batch.texts[row].strip()))

    return lambda batch: each(batch, lambda row: score(batch, row))


def _answer(batch: AnswerBatch, row: int) -> str | None:
    reference = batch.references[row]
    return None if reference is None else reference.answer


def _require(module: str, package: str, kind: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise InvalidReward(
            f"reward kind {kind!r} needs the optional package {package}: pip install 'plaudit[verifiers]' (or "
            f"'{package}'), or leave the reward out",
            field="kind",
        )
