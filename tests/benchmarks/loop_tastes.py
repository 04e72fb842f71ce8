"""What the simulated people of the closed loop look for in an answer, learned from recorded human preferences.

    python -m tests.benchmarks.loop_tastes          fits, and writes tests/benchmarks/loop_tastes.json

A Bradley-Terry regression of the judgments of finegrained-rlhf (which of two answers to a question a person preferred)
on six properties of the text. Half of the questions are fitted, the other half says how well that predicts. The judge
looks through another backbone (all-MiniLM-L6-v2) than anything the product scores with, and nothing of the product can
import it: it lives among the tests.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plaudit.people.attributes import attributes_of, fluency
from plaudit.people.judge import Judge

Floats = NDArray[np.float64]

FEATURES = ("direct", "concrete", "complete", "fluent", "on topic", "log length")
"""direct, concrete, complete: see `plaudit.people.attributes`; fluent in [0, 1]; on topic: cosine of question and
answer in tenths; log length: ln(1 + characters)."""
FILE = Path(__file__).with_suffix(".json")
_PENALTY = 10.0


@dataclass(frozen=True)
class Tastes:
    """`weights` per unit of each of FEATURES with `errors` (standard errors, bootstrapped over questions); `accuracy`
    on the `held_out` pairs of questions that were not fitted."""

    weights: tuple[float, ...]
    errors: tuple[float, ...]
    fitted: int
    held_out: int
    accuracy: float


def features_of(judge: Judge, prompts: Sequence[str], answers: Sequence[str], finished: Sequence[bool]) -> Floats:
    """(n, 6): what `FEATURES` says of each answer."""
    shown = [answer.strip() or "." for answer in answers]
    surface = np.stack([attributes_of(a, finished=f)[1:] for a, f in zip(shown, finished, strict=True)])
    fluent = np.array([fluency(answer) for answer in shown])
    lengths = np.log1p([len(answer) for answer in shown])
    return np.column_stack([surface, fluent, 10 * judge.cosine(prompts, shown), lengths])


def load() -> Tastes:
    """The fitted tastes that stand beside this file."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    return Tastes(**{key: tuple(value) if isinstance(value, list) else value for key, value in document.items()})


def fit() -> Tastes:
    """Fit on the questions of even number, judge on the others."""
    from tests.benchmarks.reward_pairs import finegrained_texts

    texts = finegrained_texts()
    questions = [re.sub(r"^\s*Human: ", "", prompt) for prompt in texts.prompts]
    x = features_of(Judge(), questions, texts.answers, [True] * len(texts.answers))
    differences = x[texts.pairs[:, 0]] - x[texts.pairs[:, 1]]
    even = texts.groups % 2 == 0
    weights = _bradley_terry(differences[even])
    rng = np.random.default_rng(0)
    again = [_bradley_terry(_resampled(rng, differences[even], texts.groups[even])) for _ in range(200)]
    right = differences[~even] @ weights > 0
    return Tastes(
        tuple(np.round(weights, 4).tolist()),
        tuple(np.round(np.std(again, axis=0), 4).tolist()),
        int(even.sum()),
        int((~even).sum()),
        round(float(right.mean()), 4),
    )


def _bradley_terry(differences: Floats) -> Floats:
    """Weights w that maximise sum log s(w . (preferred - other)), with a weak ridge."""
    from sklearn.linear_model import LogisticRegression

    both = np.concatenate([differences, -differences])
    outcome = np.repeat([1, -1], len(differences))
    return np.asarray(LogisticRegression(fit_intercept=False, C=_PENALTY).fit(both, outcome).coef_[0])


def _resampled(rng: np.random.Generator, rows: Floats, groups: NDArray[np.int64]) -> Floats:
    """Rows of as many questions as there are, drawn with replacement."""
    names = np.unique(groups)
    return np.concatenate([rows[groups == name] for name in rng.choice(names, len(names))])


def main() -> int:
    tastes = fit()
    FILE.write_text(json.dumps(asdict(tastes), indent=1) + "\n", encoding="utf-8")
    for name, weight, error in zip(FEATURES, tastes.weights, tastes.errors, strict=True):
        print(f"{name:12} {weight:+.3f} +- {error:.3f}")
    print(f"{tastes.fitted} pairs fitted; {tastes.accuracy:.1%} of {tastes.held_out} others predicted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
