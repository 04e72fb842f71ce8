"""What the closed loop came to, as a page: lifts of every arm with intervals over seeds, guardrails, refusals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from plaudit.demo.evaluation import RELEVANCE_MARGIN
from plaudit.demo.report import machine
from tests.benchmarks.loop_arms import ARMS
from tests.benchmarks.loop_people import BASE_LOVE, DECISIVENESS
from tests.benchmarks.loop_tastes import FEATURES, load

PAGE = Path("docs/benchmarks/loop.md")
READING = "## How to read it"
AIM = 0.28
Document = dict[str, Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """Mean over seeds with a 95 % t-interval; NaN bounds with one seed."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def over_seeds(values: Sequence[float]) -> Mean:
    """mean +- t(n - 1, .975) sd / sqrt(n): a seed is a town, its prompts and its judges."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2:
        return Mean(float(x.mean()), float("nan"), float("nan"))
    half = float(stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return Mean(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half)


def lift(document: Document) -> float:
    """Love rate that people gain: 0 when the adapter was refused."""
    return _gain(document) if document["given"] else 0.0


def _gain(document: Document) -> float:
    return float(document["adapter"]["love"] - document["base"]["love"])


def relevance_change(document: Document) -> float:
    """The same of the judges' relevance."""
    if not document["given"]:
        return 0.0
    return float(np.mean(document["adapter"]["relevance"]) - np.mean(document["base"]["relevance"]))


def line(document: Document) -> str:
    """One run in words."""
    low, high = _within(document)
    return (
        f"love {document['base']['love']:.3f} -> {document['adapter']['love']:.3f} "
        f"({_gain(document):+.3f} [{low:+.3f}, {high:+.3f}] over prompts and people), relevance "
        f"{np.mean(document['base']['relevance']):.3f} -> {np.mean(document['adapter']['relevance']):.3f}"
    )


def _within(document: Document) -> tuple[float, float]:
    """95 % interval of one run's gain: the variances of the means over prompts and over people add up."""
    variance = 0.0
    for key in ("by_prompt", "by_person"):
        change = np.array(document["adapter"][key]) - np.array(document["base"][key])
        variance += float(change.var(ddof=1) / len(change))
    half = 1.96 * float(np.sqrt(variance))
    return _gain(document) - half, _gain(document) + half


def page(found: Sequence[Document], seeds: Sequence[int]) -> str:
    """The Markdown page of what was measured, complete or not."""
    found = [one for one in found if one["seed"] in seeds]
    lines = ["# The closed loop", "", *_introduction(seeds), ""]
    for share in sorted({one["share"] for one in found}, reverse=True):
        some = [one for one in found if one["share"] == share]
        lines += [f"## {share:.0%} of the votes corrupted", "", *_table(some), "", *_verdict(some, seeds), ""]
    lines += ["## Every run", "", *_runs(found), ""]
    return "\n".join(lines)


def write(measured: str) -> None:
    """Write the page; what people wrote below READING stays."""
    before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    PAGE.write_text(measured + before[before.index(READING) :] if READING in before else measured, encoding="utf-8")


def _introduction(seeds: Sequence[int]) -> list[str]:
    tastes = load()
    weights = ", ".join(f"{name} {weight:+.2f}" for name, weight in zip(FEATURES, tastes.weights, strict=True))
    return [
        "`make bench-loop` runs the product's own log, consumer, labels, trust, reward model, policy update, gate and "
        "experiment on simulated people; only the clock is moved by hand. "
        f"Seeds {', '.join(map(str, seeds))}, {machine()}.",
        "",
        "People weigh answers as a Bradley-Terry fit of recorded judgments does (`python -m "
        f"tests.benchmarks.loop_tastes`: {weights}; it predicts {tastes.accuracy:.1%} of {tastes.held_out} judgments "
        f"of other questions), taken {DECISIVENESS:g} times as decided (an assumption), with a mood at which "
        f"{BASE_LOVE:.0%} of the base model's answers are liked. Silence and reading time depend on opinion, tastes "
        "drift. Corrupted votes are, in equal parts, random, careless, coordinated and biased to length.",
        "",
        "Love is the mean probability, over 1,000 people who never visited and prompts nobody asked, that an answer is "
        "liked. An adapter that gate or experiment refused counts as no lift. Intervals: 95 %, Student's t over seeds.",
        "",
        *(f"- **{arm.name}**: {arm.says}." for arm in ARMS.values()),
    ]


def _table(found: Sequence[Document]) -> list[str]:
    lines = [
        "| arm | seeds | given | base | lift, points | lift, relative | if given | relevance |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm in ARMS:
        runs = [one for one in found if one["arm"] == arm]
        if not runs:
            continue
        base = float(np.mean([one["base"]["love"] for one in runs]))
        gained = over_seeds([lift(one) for one in runs])
        lines.append(
            f"| {arm} | {len(runs)} | {sum(one['given'] for one in runs)} | {base:.3f} | {gained} | "
            f"{gained.mean / base:+.0%} | {np.mean([_gain(one) for one in runs]):+.3f} | "
            f"{over_seeds([relevance_change(one) for one in runs])} |"
        )
    return lines


def _verdict(found: Sequence[Document], seeds: Sequence[int]) -> list[str]:
    """Whether the targets are met, in words."""
    full = [one for one in found if one["arm"] == "full"]
    plain = [one for one in found if one["arm"] == "plain"]
    if len(full) < len(seeds):
        return [f"Not complete: {len(full)} of {len(seeds)} seeds of the full system."]
    gained, base = over_seeds([lift(one) for one in full]), float(np.mean([one["base"]["love"] for one in full]))
    relevance = over_seeds([relevance_change(one) for one in full])
    said = [
        f"- Lower bound of the full system's lift above zero: {_yes(gained.low > 0)} ({gained.low:+.3f}).",
        f"- Relative lift of {AIM:.0%} (aim): {_yes(gained.mean / base >= AIM)} ({gained.mean / base:+.0%}).",
        f"- Relevance not worse by {RELEVANCE_MARGIN}: {_yes(relevance.low > -RELEVANCE_MARGIN)} ({relevance}).",
    ]
    if plain:
        mean = float(np.mean([lift(one) for one in plain]))
        where = f"{len(plain)} seeds, {mean:+.3f}"
        said.append(f"- Mean above the mean of plain Bradley-Terry: {_yes(gained.mean > mean)} ({where}).")
        said.append(f"- Lower bound above the mean of plain Bradley-Terry: {_yes(gained.low > mean)}.")
        lifts = {one["seed"]: lift(one) for one in plain}
        less = [lift(one) - lifts[one["seed"]] for one in full if one["seed"] in lifts]
        each = ", ".join(f"{value:+.3f}" for value in less)
        said.append(f"- Full less plain, seed by seed: {each}; mean {over_seeds(less)}.")
    return said


def _runs(found: Sequence[Document]) -> list[str]:
    rows = []
    for one in sorted(found, key=lambda d: (-d["share"], d["seed"], list(ARMS).index(d["arm"]))):
        taught = one["taught"]
        auroc = taught["reward_model"]["heads"]["love"]["auroc"]
        why = f" The gate refused: {'; '.join(taught['reasons'])}." if taught["reasons"] else ""
        rows.append(
            f"- {one['share']:.0%}, seed {one['seed']}, {one['arm']}: {taught['adapter']} "
            f"{'given' if one['given'] else 'refused'}; {line(one)}; love head's AUROC on votes held out {auroc:.3f}; "
            f"{one['cpu_seconds'] / 60:.1f} core-minutes.{why}"
        )
    return rows


def _yes(holds: bool) -> str:
    return "yes" if holds else "**no**"
