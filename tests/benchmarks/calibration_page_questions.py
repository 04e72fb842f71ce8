"""The part of the page of `bench_reward_calibration` about the draw of the questions."""

from collections.abc import Sequence

import numpy as np

from reward_model.calibration_error import TOLERANCE
from tests.benchmarks.calibration_page_heads import seeds, told
from tests.benchmarks.calibration_questions import OBJECTIVE, REDRAWS, QuestionResult

_WHO = {"oracle": "knows everything but the offsets", "head": "the trained head"}


def draw_of_questions(found: Sequence[QuestionResult]) -> tuple[list[str], bool]:
    """Errors of an oracle and of the head when offsets are drawn anew, and on fewer questions."""
    if not found:
        return [], True
    lines = [
        "## Is the draw of the questions read as miscalibration?",
        "",
        *told(
            f"Of `{OBJECTIVE}`. Each question adds an offset to the log-odds of all answers to it (standard deviation "
            f"0.6 in this world), and {found[0].questions} are held out. Their offsets were drawn anew {REDRAWS} times "
            "a seed, with new people, for the trained head and for an oracle that knows everything but the offsets "
            "and is calibrated by construction. `true error`: over all offsets, computed, on the texts of these "
            "questions; `of any`: without what the draw of these texts adds, which is what `both ways` looks for. "
            f"`found`: the root of the mean debiased square; `above {TOLERANCE}`: share of the draws. Over "
            f"{len(found)} seed{'s' * (len(found) > 1)}."
        ),
        "",
        "| predictor | true error | of any | found by person | found both ways "
        f"| above {TOLERANCE} by person | both ways |",
        "|---|---|---|---|---|---|---|",
    ]
    for who, told_as in _WHO.items():
        squares = np.concatenate([one.redrawn[who] for one in found])
        means, above = squares.mean(0), (squares > TOLERANCE**2).mean(0)
        truth = np.mean([one.truth[who] for one in found], 0)
        cells = [
            *(f"{_root(square):.3f}" for square in truth),
            *(f"{_root(mean):.3f}" for mean in means),
            *(f"{share:.0%}" for share in above),
        ]
        lines.append(f"| {told_as} | {' | '.join(cells)} |")
    by_person, both_ways = np.concatenate([one.redrawn["head"] for one in found]).mean(0)
    lines += [
        "",
        *told(
            f"In part: {1 - both_ways / by_person:.0%} of the head's mean debiased square by person is the draw of the "
            "questions (offsets and texts), and the rest is its own miscalibration."
        ),
        "",
        *told(
            "On the hold-out itself with fewer of its questions, the root of the mean debiased square over "
            f"draws of them. {seeds(found)}."
        ),
        "",
        "| questions | by person | both ways |",
        "|---|---|---|",
    ]
    for count in found[0].few:
        columns = [[_root(one.few[count][way]) for one in found] for way in (0, 1)]
        lines.append(f"| {count} | " + " | ".join(_span(column) for column in columns) + " |")
    return lines, True


def _root(square: float) -> float:
    """Below 0, as an unbiased square may be: 0."""
    return float(np.sqrt(max(0.0, square)))


def _span(values: Sequence[float]) -> str:
    return f"{np.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
