"""What the gate looks at and what it says: sampled answers, checks, the verdict. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_update.records import plain

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Sampled:
    """Answers of one policy on the held-out prompts, n of them; answer i of the candidate is compared with answer i of
    the champion, to the same prompt.

    `prompt` (n,) numbers the prompt of each answer; `rewards` maps each objective to (n,), NaN where missing;
    `length` (n,) tokens; `repetition` (n,) share of repeated trigrams; `texts`, `questions` (n,) the answer and the
    last user message it answers; without them the gate refuses.
    """

    prompt: NDArray[np.int64]
    rewards: Mapping[str, FloatArray]
    length: FloatArray
    repetition: FloatArray
    texts: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Divergence:
    """KL in nats a token, measured on the candidate's own held-out answers: to the champion and to the base."""

    to_champion: float
    to_base: float


@dataclass(frozen=True)
class Check:
    """One condition of the gate. `low` and `high` bound `value`; `limit` is what it was held against. `before` and
    `after` are the champion's and the candidate's own figure, where there are such. `group`: goal, guardrail, budget,
    capability, tripwire, mined or advice."""

    name: str
    passed: bool
    value: float
    low: float
    high: float
    limit: float
    reason: str
    group: str = "guardrail"
    before: float | None = None
    after: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Passed, or refused with reasons. `advice` is shown and never counts; `notes` are figures for the plot."""

    checks: tuple[Check, ...]
    advice: tuple[Check, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        return [check.reason for check in self.checks if not check.passed]

    def failed(self, group: str) -> list[Check]:
        """The checks of a group that refuse."""
        return [check for check in self.checks if check.group == group and not check.passed]

    def document(self) -> dict[str, Any]:
        """As plain JSON data; a number that is not finite becomes a string, which JSON knows."""
        return {
            "passed": self.passed,
            "reasons": self.reasons,
            "checks": [plain(asdict(check)) for check in self.checks],
            "advice": [plain(asdict(check)) for check in self.advice],
            "notes": plain(dict(self.notes)),
        }
