"""The page of `bench_reward_calibration`, and whether it reaches what was asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from reward_model.offline_online import OfflineOnline
from tests.benchmarks.calibration_frozen import FROZEN
from tests.benchmarks.calibration_heads import AnchorResult, HeadResult, Size
from tests.benchmarks.calibration_page_heads import anchors, balance, heads, seeds, span, told, word
from tests.benchmarks.calibration_page_questions import draw_of_questions
from tests.benchmarks.calibration_questions import QuestionResult
from tests.benchmarks.calibration_trials import LEARNING, SilenceResult, TrialResult

R, SLOPE = 0.95, (0.8, 1.2)


@dataclass
class Findings:
    """Results by seed; `anchors[seed]` one for each size of the anchor set."""

    heads: list[HeadResult] = field(default_factory=list)
    questions: list[QuestionResult] = field(default_factory=list)
    balance: list[tuple[float, float, float]] = field(default_factory=list)
    anchors: list[list[AnchorResult]] = field(default_factory=list)
    trials: list[TrialResult] = field(default_factory=list)
    silence: list[SilenceResult] = field(default_factory=list)


def render(found: Findings, size: Size, first_seed: int, world: str) -> tuple[str, bool]:
    """(the page, whether every figure asked for is reached)."""
    parts = [
        _intro(size, world),
        _trials(found.trials, size, first_seed),
        _shift(found.trials),
        _silence(found.silence),
        heads(found.heads),
        draw_of_questions(found.questions),
        balance(found.balance),
        anchors(found.anchors),
    ]
    return "\n\n".join("\n".join(lines) for lines, _ in parts if lines) + "\n", all(reached for _, reached in parts)


def _intro(size: Size, world: str) -> tuple[list[str], bool]:
    return [
        "# Calibration, anchors, and predicted against realised love",
        "",
        *told(
            "What is real and what is simulated. Questions, answers and the human preferences between answers are "
            "those of FineGrainedRLHF and hh-rlhf; every answer is rewritten in ten manners by plain edits (shorter, a "
            "friendly opening, a warm close, a list, a hedge, a refusal ...). Features are MiniLM's hidden states of "
            "these texts. People are simulated: each has a generosity, a taste and a habit of voting; what they think "
            "of an answer depends on its manner, its length, which answer people preferred, an interaction (lists suit "
            "factual questions), a bend (too much warmth repels) and a trait that is in no text. The reward model "
            "knows none of this."
        ),
        "",
        *told(
            f"The base policy answers {size.people:,} people {size.answers} times each on 60 % of the questions; its "
            "log is all that the reward model learns from. Calibration is judged on new people and the other 40 % of "
            "the questions."
        ),
        "",
        *told(
            "This world was not drawn blind: its features, candidates, labels, penalties and the strength of tastes "
            "were changed several times on seed 1000 with r and slope in view (they began at r .7 to .8 and slopes of "
            "2.4 to 5.6, with 20,000 to 60,000 labels and weaker tastes). Read r as what can be reached where text "
            f"shows what people like, not as what will be. {_frozen(world)}"
        ),
    ], True


def _frozen(world: str) -> str:
    if world != FROZEN:
        return f"World {world}, which is not the frozen one ({FROZEN})."
    return (
        f"Since then it is frozen (digest {world}: texts, people, candidates, sizes). The reward model was developed "
        "on seeds 1000 to 1003 and measured once on the seeds below: their people, tastes, hidden traits and logs were "
        "never seen before, but the texts and the two splits of the questions are those of development. Before heads "
        "had intercepts of the questions (`reward_model.group_intercepts`), labels of one text counted less "
        "(`reward_model.repeat_correlation`) and a sigmoid kept its offset, seeds 1000 to 1003 gave a median r of "
        ".976, a median slope of 1.22 and, on seed 1000, an error of `sentiment` of .041. Before heads were held back "
        "in what they say of a question as a whole (`reward_model.between_groups`) and predictions had a contrast, "
        "seeds 2000 to 2003 gave a median r of .986 (.982 to .993), a median slope of 1.18 (1.10 to 1.25) and an error "
        "of `sentiment` of .013 (.000 to .033), which is why both were made."
    )


def _trials(trials: Sequence[TrialResult], size: Size, first_seed: int) -> tuple[list[str], bool]:
    main = [trial.main for trial in trials]
    lines = [
        "## Predicted against realised",
        "",
        *told(
            "Fourteen candidates re-select among the answers the base policy can give: along the style people like "
            "(both ways), along single traits, along nothing, and along the reward model's own score, which is what a "
            "policy update does. Predicted: from the mean calibrated probability of love over 8 answers to each "
            "question kept away from training, the difference to the control's on the same questions times the head's "
            "`contrast` (what a difference between answers to one question is worth, learned from the log alone: "
            "`reward_model.contrast`). "
            f"Realised: share of loved answers among {size.trial_people:,} new people with "
            f"{size.trial_answers} answers each, on all questions. Awful candidates (less than half of their control's "
            "love) are left out. `corrected`: r without the known errors of measurement. Slope: realised on predicted, "
            "errors on both sides (York). 95 % intervals."
        ),
        "",
        "| seed | candidates | left out | contrast | r | corrected | slope | signs between candidates "
        "| signs to control | trust |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for number, trial in enumerate(trials):
        counts = f"{len(trial.main.points)} | {len(trial.main.left_out)} | {trial.contrast:.3f}"
        lines.append(f"| {first_seed + number} | {counts} | {_cells(trial.main)} |")
    r, slopes = _rs(main), _slopes(main)
    reached_r, reached_slope = float(np.median(r)) >= R, SLOPE[0] <= float(np.median(slopes)) <= SLOPE[1]
    flattered = _rs([trial.everything for trial in trials])
    within = sum(SLOPE[0] <= value <= SLOPE[1] for value in slopes)
    beyond = [trial.unforeseeable for trial in trials]
    lines += [
        "",
        *told(
            f"Median r {np.median(r):.3f} ({min(r):.3f} to {max(r):.3f}), at least {R} in {sum(v >= R for v in r)} of "
            f"{len(r)} seeds; median slope {np.median(slopes):.2f} ({min(slopes):.2f} to {max(slopes):.2f}), within "
            f"{SLOPE[0]} to {SLOPE[1]} in {within} of {len(slopes)}. With awful candidates kept the median r is "
            f"{np.median(flattered):.3f}. Asked for: r >= {R} ({word(reached_r)}), slope {SLOPE[0]} to {SLOPE[1]} "
            f"({word(reached_slope)}), by the medians."
        ),
        "",
        *_recalibrated(trials),
        *told(
            "A slope above 1 means that gains are foreseen too small: what heads cannot read off a text, and what they "
            "have not labels enough to learn, is missing from a prediction. A slope without the contrast is about the "
            "slope times the contrast."
        ),
        "",
        *told(
            "Eight other candidates are chosen by what no reward model can read off an answer: which one people "
            "preferred, and a trait in no text (along the whole appeal, and along that part alone). Median r "
            f"{span(_rs(beyond), 3)}, median slope {span(_slopes(beyond), 2)}."
        ),
        "",
        "With less feedback to learn from (same candidates, same trials):",
        "",
        "| labels | median r | median slope |",
        "|---|---|---|",
    ]
    for labels in LEARNING:
        some = [trial.by_labels[labels] for trial in trials if labels in trial.by_labels]
        if some:
            lines.append(f"| {labels:,} | {span(_rs(some), 3)} | {span(_slopes(some), 2)} |")
    return lines, reached_r and reached_slope


def _recalibrated(trials: Sequence[TrialResult]) -> list[str]:
    """What a correction learned from earlier candidates leaves of the slope; beside the slope, never instead of it."""
    left = [line.slope for trial in trials if (line := trial.main.recalibrated) is not None]
    if not left:
        return []
    return [
        *told(
            "Were each prediction, from the sixth candidate on, put through the line of the candidates before it (in "
            f"an order drawn by chance), the slope left would be {span(left, 2)} in median and range: lines through "
            "few candidates can err more than the slope they mend. The figures above are of predictions as made."
        ),
        "",
    ]


def _shift(trials: Sequence[TrialResult]) -> tuple[list[str], bool]:
    lines = [
        "## Covariate shift",
        "",
        "| case | median r | median slope | mean of predicted minus realised |",
        "|---|---|---|---|",
        f"| none | {_three([trial.main for trial in trials])} |",
    ]
    shifted = [trial for trial in trials if trial.shifted]
    for name in shifted[0].shifted if shifted else ():
        lines.append(f"| {name} | {_three([trial.shifted[name] for trial in shifted])} |")
    lines += [
        "",
        *told(
            "Candidates unlike anything in the log: most answers in a manner the base policy hardly uses. "
            "`held`: seeds in which the 95 % range that the line through the other candidates gives held the "
            "realised rate."
        ),
        "",
        "| candidate | predicted | realised | held |",
        "|---|---|---|---|",
    ]
    for place, first in enumerate(trials[0].far):
        far = [trial.far[place] for trial in trials]
        held = sum(one.low <= one.realised <= one.high for one in far)
        predicted, realised = (
            float(np.median([getattr(one, name) for one in far])) for name in ("predicted", "realised")
        )
        lines.append(f"| {first.name} | {predicted:.3f} | {realised:.3f} | {held} of {len(far)} |")
    return lines, True


def _silence(results: Sequence[SilenceResult]) -> tuple[list[str], bool]:
    if not results:
        return [], True
    lines = [
        "## Silence",
        "",
        *told(
            "`sentiment` is learned from voters alone (three in ten). Here its predictions are held against "
            "what *everybody* thinks, voter or not. People on a phone like more and vote more; in the last case "
            "likers have three times the odds of voting. Weights are the inverse of the true chance of a vote "
            f"on the device. {seeds(results)}."
        ),
        "",
        "| case | median r | median slope | mean of predicted minus true |",
        "|---|---|---|---|",
    ]
    for name in results[0].opinion:
        lines.append(f"| {name} | {_three([one.opinion[name] for one in results])} |")
    lines += [
        f"| `love` where likers vote more | {_three([one.love for one in results])} |",
        "",
        *told(
            "Weights take out of the level what the device explains and nothing else: compare the rows with one "
            "another, since questions kept away from training have an offset of their own, as in the rows above. "
            "Where silence depends on the opinion a predicted sentiment is that of voters. `love` counts silence as "
            "0, before and after, so voting habits do not enter its comparison."
        ),
    ]
    return lines, True


def _cells(one: OfflineOnline) -> str:
    assert one.levels is not None
    assert one.line is not None
    assert one.between is not None
    assert one.to_control is not None
    corrected = "-" if one.levels.corrected is None else f"{one.levels.corrected:.3f}"
    return (
        f"{one.levels.r:.3f} ({one.levels.low:.2f} to {one.levels.high:.2f}) | {corrected} "
        f"| {one.line.slope:.2f} ({one.line.slope_low:.2f} to {one.line.slope_high:.2f}) "
        f"| {one.between.accuracy:.0%} ({one.between.low:.0%} to {one.between.high:.0%}; "
        f"ceiling {one.between.ceiling:.0%}) "
        f"| {one.to_control.accuracy:.0%} ({one.to_control.low:.0%} to {one.to_control.high:.0%}) "
        f"| {one.trust.level} ({one.trust.number:.2f})"
    )


def _three(reports: Sequence[OfflineOnline]) -> str:
    biases = [np.mean([p.predicted.value - p.realised.value for p in one.points]) for one in reports]
    return f"{span(_rs(reports), 3)} | {span(_slopes(reports), 2)} | {np.median(biases):+.3f}"


def _rs(reports: Sequence[OfflineOnline]) -> list[float]:
    return _each(reports, lambda one: None if one.levels is None else one.levels.r)


def _slopes(reports: Sequence[OfflineOnline]) -> list[float]:
    return _each(reports, lambda one: None if one.line is None else one.line.slope)


def _each(reports: Sequence[OfflineOnline], value: Callable[[OfflineOnline], float | None]) -> list[float]:
    return [found for one in reports if (found := value(one)) is not None]
