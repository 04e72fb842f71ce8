"""The page docs/benchmarks/trust.md out of the figures of `bench_trust`."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from tests.benchmarks.trust_population import MAJORITY, MINORITY, simulate

Rows = Sequence[tuple[str, Sequence[Any]]]
Column = tuple[str, Callable[[Any], float], str]

ERRORS: tuple[Column, ...] = (
    ("error of raw averages", lambda f: f.error_raw, ".4f"),
    ("error, weighted by trust", lambda f: f.error, ".4f"),
    ("less by", lambda f: f.gain, ".0%"),
    ("were attackers known", lambda f: 1.0 - f.error_known / f.error_raw, ".0%"),
)
WEIGHTS: tuple[Column, ...] = (
    ("attackers' share of weight", lambda f: f.share, ".2%"),
    ("minority per head", lambda f: f.minority, ".3f"),
    ("careless per head", lambda f: f.careless, ".2f"),
)
CAUGHT: tuple[Column, ...] = (
    ("attackers in quarantine", lambda f: f.caught, ".0%"),
    ("others in quarantine", lambda f: f.wronged, ".1f"),
)

INTRODUCTION = """# Trust, measured

What `ingest.trust` is worth on a simulated population, and where it fails. Made by

    python -m tests.benchmarks.bench_trust

on {machine}; {date}. {seeds} seeds for the main table and the ablations, {few} for the others. Every figure comes from
`ingest.trust.estimate.estimate`, the function the job `trust` calls, under default settings; that votes take the way
through log, consumer, store and job to the same end is held by `tests/ingest/trust/test_jobs.py`.

## What is simulated

2,000 people and 3,000 answers. 60 % of the people share the majority's taste, 15 % another one (orthogonal: what the
one likes says nothing about the other), 20 % are careless, 5 % (100 accounts) act together.

- Each answer has eight hidden qualities; a taste is a direction among them, and each answer has besides an appeal of
  its own to each taste that no feature shows. The estimator sees the qualities through noise (about two thirds of the
  variance is signal). In production features are TF-IDF of the texts; how well they show qualities varies.
- Honest and careless people vote 5 to 30 times (uniform), on answers drawn by a log-normal popularity (sigma 1): the
  median answer has {median:g} honest votes, one in ten has {tenth:g} or fewer. Careless people like at a rate of their
  own, uniform in 30 % to 90 %, whatever the answer.
- The plain attack: 100 accounts vote 200 times each on 400 targets, against the majority's opinion of each; their times
  are as everybody's (there is no burst to see).
- The truth about an answer: what honest people would on average say of it, four fifths majority, one fifth minority.

'Error' is the mean squared error over all answers with a vote. Weights per head are relative to the majority's.
'Less by' compares weighted with raw vote averages of the same votes, with no smoothing of either: most of the error
that remains is the chance of few votes, which no weighting can remove. 'Were attackers known' is what leaving out
exactly the attackers' votes would bring: where an attack does less harm, less can be won back.
"""

READING = """
## How to read this

- Rings are found by whom they vote with and by their one voice, not by how much they vote: the cap alone leaves them
  a large share, and 30 votes each do not hide them.
- Reliability alone makes careless people lighter but hardly makes averages better: unweighted careless votes are noise
  around a constant, and taking them out costs votes. It matters where somebody votes much and carelessly, and to the
  reward model, which reads the weights.
- One taste too many is taken rather than one too few: a careless person then finds a taste to fit more easily, a
  dissenter is not silenced.

## Where it fails

- Camouflage. The more of a ring's votes look honest, the weaker the trace. Where the table shows attackers with a share
  of the weight, they got it by voting honestly most of the time; the error shows how little they got for it.
- A ring that attacks only answers on which nobody else votes has nobody to be compared with: it is not judged, only
  capped. The same holds where people can only like: one voice is then no evidence.
- A group that sees only its own answers, has a taste that nobody outside it shares, and votes against everybody else
  who sees these answers, looks like a ring. It is told why, and the reasons name the figures.
- Accounts that vote once or twice each, slowly, leave no trace; a swarm on one answer is caught as a burst only if it
  comes at once and contradicts the answer's other votes.
- With a few hundred people tastes are found less surely; then more tastes are assumed and careless people pass.
- Real tastes are not directions in eight dimensions and real careless people are not coins. These figures show that the
  mechanism does what it claims under the assumptions above, no more.
"""


def page(found: dict[str, list[tuple[str, list[Any]]]]) -> str:
    """The whole page."""
    main = found["ablations"][-1][1]
    few = len(found["attacks"][0][1])
    honest = honest_votes()
    parts = [
        INTRODUCTION.format(
            machine=machine(),
            date=time.strftime("%Y-%m-%d"),
            seeds=len(main),
            few=few,
            median=np.median(honest),
            tenth=np.quantile(honest, 0.1),
        ),
        "\n## The plain attack\n\n" + _goals(main) + "\n\n" + _by_seed(main),
        "\n## Which part does what\n\nMedians over the seeds, with the range.\n\n" + table(found["ablations"]),
        "\n## Other attacks\n\nMedians; the same 100 accounts and 200 votes each unless said.\n\n"
        + table(found["attacks"], ERRORS + WEIGHTS[:2] + CAUGHT),
        "\n## Nobody to catch\n\nMedians; whoever is put in quarantine here is wronged.\n\n"
        + table(found["innocents"], ERRORS + WEIGHTS[1:] + CAUGHT[1:]),
        READING,
    ]
    return "\n".join(parts)


def table(rows: Rows, columns: Sequence[Column] = ERRORS + WEIGHTS + CAUGHT) -> str:
    """A Markdown table: medians over the seeds, with the range where there are several and they differ."""
    head = "| | " + " | ".join(name for name, _, _ in columns) + " |"
    lines = [head, "|---|" + "---|" * len(columns)]
    for name, figures in rows:
        cells = [_cell([get(one) for one in figures], form) for _, get, form in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[float], form: str) -> str:
    median, low, high = (format(float(v), form) for v in (np.median(values), min(values), max(values)))
    return median if low == high else f"{median} ({low} to {high})"


def _goals(main: Sequence[Any]) -> str:
    """Asked and measured, side by side; worst seed."""
    gain, share, minority = min(f.gain for f in main), max(f.share for f in main), min(f.minority for f in main)
    rows = [
        ("error below raw vote averages", "at least 30 %", f"{gain:.1%}", gain >= 0.30),
        ("attackers' share of the weight", "under 2 %", f"{share:.2%}", share < 0.02),
        ("minority's weight per head", "at least 85 %", f"{minority:.1%}", minority >= 0.85),
    ]
    lines = ["| | asked | measured, worst seed | |", "|---|---|---|---|"]
    lines += [f"| {name} | {asked} | {got} | {'met' if met else 'MISSED'} |" for name, asked, got, met in rows]
    return "\n".join(lines)


def _by_seed(main: Sequence[Any]) -> str:
    lines = [
        "| seed | error raw | weighted | less by | by the model's appeal | attackers' share: raw | weighted"
        " | minority per head | careless per head | others in quarantine | tastes | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for seed, f in enumerate(main):
        lines.append(
            f"| {seed} | {f.error_raw:.4f} | {f.error:.4f} | {f.gain:.1%} | {f.gain_appeal:.1%} | {f.share_raw:.1%}"
            f" | {f.share:.2%} | {f.minority:.3f} | {f.careless:.2f} | {f.wronged} | {f.tastes} | {f.seconds:.1f} |"
        )
    note = (
        "\n'By the model's appeal': the error of `Estimate.appeal`, which smooths over votes by features and is"
        " compared with the same unsmoothed raw averages; it shows what the features add and is not the figure that was"
        " asked for."
    )
    return "\n".join(lines) + "\n" + note


def honest_votes() -> Any:
    """(answers,) votes of honest people on each answer of the first seed."""
    population = simulate(0)
    evidence = population.evidence
    honest = (population.role == MAJORITY) | (population.role == MINORITY)
    return np.bincount(evidence.item[honest[evidence.person]], minlength=evidence.items)


def machine() -> str:
    """Cores, architecture and versions the figures were made with."""
    cores = len(os.sched_getaffinity(0))
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "scikit-learn"))
    return f"{cores} cores, {platform.machine()}, Python {platform.python_version()}, {versions}"
