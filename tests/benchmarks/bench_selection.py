"""Inverse propensities on real clicks and on simulated silence: writes docs/benchmarks/selection.md.

    python -m tests.benchmarks.bench_selection [--seeds 20] [--people 6000] [--out docs/benchmarks/selection.md]

Three parts: the uniform policy of Open Bandit judged from the log of Thompson sampling, against the formulas written
out and against its own log; simulated people whose silence depends on logged covariates; and people whose silence
depends on their opinion. Seeds are 1000, 1001, ...; the simulation is `tests.ingest.selection.simulation`.
"""

import argparse
import datetime
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ingest.selection.bounds import odds_ratio_bounds, worst_case
from ingest.selection.rates import rates
from ingest.selection.solicitation import solicited_rate
from ingest.solicitation import decide
from tests.benchmarks.open_bandit import CAMPAIGNS, FOLDER, Judged, judge
from tests.ingest.selection.simulation import simulate

FIRST_SEED = 1000
ANSWERS = 10
CLIP = 10.0
OPINION_ODDS = 3.0
ASK_RATE = 0.02
GAMMAS = (1.5, 3.0, 5.0)


@dataclass(frozen=True)
class Observed:
    """One seed where silence depends on what is logged. Rates in [0, 1]."""

    truth: float
    per_shown: float
    among_voters: float
    snips: float
    doubly_robust: float
    covered: bool
    effective_sample_size: float
    auroc: float


@dataclass(frozen=True)
class Hidden:
    """One seed where silence depends on the opinion: the truth, the corrected rate, and which bounds held it."""

    truth: float
    doubly_robust: float
    held: dict[str, bool]
    width: dict[str, float]
    asked: int


def observed(seed: int, people: int) -> Observed:
    """Silence depends on covariates alone."""
    population = simulate(seed, people=people, answers=ANSWERS)
    fitted = population.fitted()
    found = rates(population.sample(fitted), clip=CLIP)
    return Observed(
        population.truth,
        found.likes_per_shown.mean,
        found.among_voters.mean,
        found.self_normalised.mean,
        found.doubly_robust.mean,
        found.doubly_robust.low <= population.truth <= found.doubly_robust.high,
        found.effective_sample_size,
        fitted.auroc,
    )


def hidden(seed: int, people: int) -> Hidden:
    """Whoever likes an answer is three times as likely (in odds) to say so; of those asked, 80 % answer."""
    population = simulate(seed, people=people, answers=ANSWERS, opinion_odds=OPINION_ODDS)
    sample = population.sample(population.fitted())
    bounds = {f"odds ratio at most {g:g}": odds_ratio_bounds(sample, g, clip=CLIP) for g in GAMMAS}
    bounds["nothing assumed"] = worst_case(sample)
    held = {name: one.least <= population.truth <= one.most for name, one in bounds.items()}
    width = {name: one.most - one.least for name, one in bounds.items()}
    draw = np.random.default_rng(seed + 1)
    asked = np.array(
        [decide("bench", f"{seed}-{i}", 0, rate=ASK_RATE, salt="s").asked for i in range(len(population.people))]
    )
    answered = draw.random(int(asked.sum())) < 0.8
    solicited = solicited_rate(
        np.full(int(asked.sum()), ASK_RATE),
        answered,
        np.where(answered, population.thought[asked], np.nan),
        sample.people[asked],
    )
    assert solicited is not None
    held["asked at random (2 %)"] = solicited.rate.low <= population.truth <= solicited.rate.high
    width["asked at random (2 %)"] = solicited.rate.high - solicited.rate.low
    return Hidden(population.truth, rates(sample, clip=CLIP).doubly_robust.mean, held, width, solicited.asked)


def main() -> int:
    """Exit 0 when the figures asked for are reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--people", type=int, default=6000)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/selection.md"))
    given = parser.parse_args()
    started, seeds = time.perf_counter(), range(FIRST_SEED, FIRST_SEED + given.seeds)
    with ProcessPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        seen = list(pool.map(partial(observed, people=given.people), seeds))
        unseen = list(pool.map(partial(hidden, people=given.people // 3), seeds))
    judged = [judge(campaign) for campaign in CAMPAIGNS] if FOLDER.is_dir() else []
    page, reached = render(judged, seen, unseen, given.people)
    seconds = time.perf_counter() - started
    page += f"\n`python -m tests.benchmarks.bench_selection --seeds {given.seeds} --people {given.people}`, "
    page += f"{seconds:.0f} s on {machine()}, {datetime.datetime.now(datetime.UTC).date().isoformat()}.\n"
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(page, encoding="utf-8")
    print(page)
    return 0 if reached else 1


def machine() -> str:
    """Cores, architecture and versions the figures were made with."""
    cores = len(os.sched_getaffinity(0))
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "scikit-learn"))
    return f"{cores} cores, {platform.machine()}, Python {platform.python_version()}, {versions}"


def render(
    judged: Sequence[Judged], seen: Sequence[Observed], unseen: Sequence[Hidden], people: int
) -> tuple[str, bool]:
    """(the page, whether every figure asked for is reached)."""
    parts = [
        ("# Who votes: inverse propensities and bounds", True),
        _open_bandit(judged),
        _observed(seen, people),
        _hidden(unseen, people // 3),
    ]
    return "\n\n".join(text for text, _ in parts) + "\n", all(reached for _, reached in parts)


def _open_bandit(judged: Sequence[Judged]) -> tuple[str, bool]:
    lines = ["## Real clicks: Open Bandit", ""]
    if not judged:
        lines.append(f"Not measured: `{FOLDER.name}` is not there; name its parent's parent in PLAUDIT_SHARED.")
        return "\n".join(lines), False
    lines += [
        "The click rate of the uniform policy, estimated from 10,000 impressions that Thompson sampling logged, with",
        "95 % intervals; and what it was on 10,000 impressions of its own. `difference`: the largest between any",
        "estimate and the formula written out, one impression at a time, with exact sums.",
        "",
        "| campaign | logged policy | IPS | IPS, weights at most 10 | SNIPS | DR | always valid | ESS | own log "
        "| difference |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in judged:
        cells = [f"{e.mean:.2%} ({e.low:.2%} to {e.high:.2%})" for e in one.estimates.values()]
        low, high = one.always_valid
        own = f"{one.on_policy.mean:.2%} ({one.on_policy.low:.2%} to {one.on_policy.high:.2%})"
        lines.append(
            f"| {one.campaign} | {one.logged:.2%} | {' | '.join(cells)} | {low:.2%} to {high:.2%} "
            f"| {one.effective_sample_size:.0f} | {own} | {one.difference:.0e} |"
        )
    lines += [
        "",
        "Below an effective sample size of 100 an estimate is no evidence: Thompson sampling showed some items so",
        "rarely in one campaign that a handful of impressions carry all the weight, and the bounds say so.",
    ]
    return "\n".join(lines), all(one.difference < 1e-12 for one in judged)


def _observed(seen: Sequence[Observed], people: int) -> tuple[str, bool]:
    names = ("per_shown", "among_voters", "snips", "doubly_robust")
    errors = {name: [100 * (getattr(one, name) - one.truth) for one in seen] for name in names}
    told = {
        "per_shown": "likes per shown answer (raw)",
        "among_voters": "likes among voters (raw)",
        "snips": "self-normalised",
        "doubly_robust": "doubly robust",
    }
    lines = [
        "## Silence that depends on what is logged",
        "",
        f"{people:,} people with {ANSWERS} answers each, {len(seen)} seeds; the true love rate is",
        f"{statistics.median(one.truth for one in seen):.1%} (median). Errors in points of percent.",
        "",
        "| estimate | median error | smallest | largest | seeds within 2 points | seeds off by more than 10 |",
        "|---|---|---|---|---|---|",
    ]
    for name in names:
        off = [abs(error) for error in errors[name]]
        within, beyond = sum(e <= 2 for e in off), sum(e > 10 for e in off)
        median = statistics.median(errors[name])
        lines.append(
            f"| {told[name]} | {median:+.2f} | {min(off):.2f} | {max(off):.2f} | {within} of {len(off)} "
            f"| {beyond} of {len(off)} |"
        )
    covered = sum(one.covered for one in seen)
    size = statistics.median(one.effective_sample_size for one in seen)
    auroc = statistics.median(one.auroc for one in seen)
    lines += [
        "",
        f"The 95 % interval of the doubly robust rate holds the truth in {covered} of {len(seen)} seeds. Effective",
        f"sample size {size:.0f} (median); AUROC of the propensity model on people it had not seen {auroc:.2f}.",
    ]
    raw = [min(abs(a), abs(b)) for a, b in zip(errors["per_shown"], errors["among_voters"], strict=True)]
    corrected = [abs(error) for error in errors["doubly_robust"]]
    return "\n".join(lines), min(raw) > 10 and max(corrected) <= 2


def _hidden(unseen: Sequence[Hidden], people: int) -> tuple[str, bool]:
    wrong = [100 * (one.doubly_robust - one.truth) for one in unseen]
    lines = [
        "## Silence that depends on the opinion",
        "",
        f"{people:,} people with {ANSWERS} answers each, {len(unseen)} seeds. A like multiplies the odds of voting by",
        f"{OPINION_ODDS:g}: correcting for covariates leaves the rate off by {statistics.median(wrong):+.1f} points"
        f" ({min(wrong):+.1f} to {max(wrong):+.1f}).",
        "Intervals at 95 %.",
        "",
        "| bounds | hold the truth | median width, points |",
        "|---|---|---|",
    ]
    for name in unseen[0].held:
        held = sum(one.held[name] for one in unseen)
        width = 100 * statistics.median(one.width[name] for one in unseen)
        lines.append(f"| {name} | {held} of {len(unseen)} | {width:.1f} |")
    asked = statistics.median(one.asked for one in unseen)
    lines += [
        "",
        f"An odds ratio of {OPINION_ODDS:g} is the edge of what the second row allows; the first allows too little.",
        f"{asked:.0f} answers (median) came with a question, asked at random; 80 % of those asked answered it,",
        "whatever they thought.",
    ]
    enough = 0.9 * len(unseen)
    reported = ("nothing assumed", f"odds ratio at most {OPINION_ODDS:g}")
    return "\n".join(lines), all(sum(one.held[name] for one in unseen) >= enough for name in reported)


if __name__ == "__main__":
    sys.exit(main())
