"""`make bench-reward-model`: what each loss wins back from raters who err; writes docs/benchmarks/robust-losses.md.

    python -m tests.benchmarks.bench_reward_model [--seeds 4] [--workers N] [--quick] [--resume]

Features of a frozen encoder (read once, kept in `build/reward-features`), simulated raters on recorded preferences,
every loss tuned alike, accuracy on clean unseen pairs. `--quick`: two levels of two kinds, one seed, no page.
"""

import argparse
import os
import pickle
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from reward_model.objective_head import FitOptions
from reward_model.utility_head import UtilityOptions, fit_utility_head
from tests.benchmarks.reward_attack import ATTACKS, defend
from tests.benchmarks.reward_contest import OUTER, PENALTIES, Contest, contest
from tests.benchmarks.reward_pairs import SETS, SHARED, RealPairs, real_pairs
from tests.benchmarks.reward_raters import KINDS
from tests.benchmarks.reward_robust_report import Figures, cell_figures, write

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "build" / "reward-features"
PAGE = ROOT / "docs" / "benchmarks" / "robust-losses.md"
LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4)
EVERY = (0.0, 0.2, 0.4)
"""Levels at which every loss is compared; at the others the default, plain Bradley-Terry, majorities, RE-PO."""
ATTACK_SEEDS = 5


@dataclass(frozen=True)
class Task:
    """One piece of work. `what` is cell, attack or product; `name` a data set or an attack."""

    what: str
    name: str
    kind: str = "random"
    level: float = 0.0
    seeds: int = 1


def perform(task: Task) -> Any:
    """Do one piece of work, on one thread."""
    torch.set_num_threads(1)
    if task.what == "attack":
        return defend(task.name, task.seeds)
    pairs = real_pairs(task.name, CACHE)
    if task.what == "product":
        return product(pairs, task.kind, task.level)
    return cell_figures(contest(pairs, task.kind, task.level, task.seeds, every=task.level in EVERY), pairs.groups)


def product(pairs: RealPairs, kind: str, level: float) -> dict[str, float]:
    """`fit_utility_head` itself on the first run of a cell: the same records, one call."""
    made = Contest(pairs, kind, level, 1)
    judgments, train = made.rated[0].judgments, made.outer[0] != 0
    rows = np.flatnonzero(train[judgments.pair])
    sign = np.where(judgments.says[rows] > 0.5, 1.0, -1.0)
    pair = judgments.pair[rows]
    fitted = fit_utility_head(
        torch.from_numpy(pairs.differences[pair] * sign[:, None]),
        np.ones(len(rows)),
        pairs.groups[pair],
        np.random.default_rng(0).permutation(int(pairs.groups.max()) + 1)[pairs.groups[pair]].astype(np.float64),
        UtilityOptions(FitOptions(PENALTIES, 3, 0, 0), "huber_bt", (2.0, 10.0, 100.0), 0.45),
        people=[judgments.people[k] for k in judgments.judge[rows]],
        pairs=(pair, sign.astype(np.int64)),
        lengths=pairs.lengths[pair] * sign,
    )
    held = pairs.differences[~train] * pairs.truth[~train][:, None]
    return {
        "bt": float((held @ fitted.plain.numpy() > 0.0).mean()),
        "huber_bt": float((held @ fitted.parameters[0].numpy() > 0.0).mean()),
        "pairs": float(len(held)),
        "estimated": fitted.estimate.flip_rate,
        "low": fitted.estimate.interval[0],
        "high": fitted.estimate.interval[1],
        "realised": made.rated[0].realised,
    }


def tasks(seeds: int, quick: bool) -> list[Task]:
    """In the order of the page."""
    if quick:
        return [Task("cell", name, kind, 0.4, 1) for name in SETS for kind in ("person", "length")] + [
            Task("attack", ATTACKS[0])
        ]
    cells = [Task("cell", name, "random", 0.0, seeds) for name in SETS]
    cells += [Task("cell", name, kind, level, seeds) for name in SETS for kind in KINDS for level in LEVELS[1:]]
    attacks = [Task("attack", attack, seeds=seed) for attack in ATTACKS for seed in range(ATTACK_SEEDS)]
    return cells + attacks + [Task("product", name, kind, 0.4) for name in SETS for kind in KINDS]


def urgent(task: Task) -> tuple[int, float]:
    """What is begun first when not everything is there: what the page is about, strong noise before weak."""
    return (0 if task.level in (0.3, 0.4) and task.what == "cell" else 1 if task.what == "attack" else 2, -task.level)


def everything(todo: list[Task], workers: int, kept: Path) -> list[tuple[Task, Any]]:
    """Results in the order of `todo`, with a bar; what an interrupted run left in the file `kept` is not done again."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    found: dict[Task, Any] = pickle.loads(kept.read_bytes()) if kept.exists() else {}
    missing = sorted((task for task in todo if task not in found), key=urgent)
    with (
        Progress(*columns, TimeRemainingColumn(), console=Console(soft_wrap=True)) as bar,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
    ):
        shown = bar.add_task("robust losses", total=len(todo), completed=len(todo) - len(missing))
        waiting = {pool.submit(perform, task): task for task in missing}
        for done in as_completed(waiting):
            task = waiting[done]
            found[task] = done.result()
            kept.write_bytes(pickle.dumps(found))
            bar.console.print(f"{task.what} {task.name} {task.kind} {task.level:g} {_line(found[task])}")
            bar.advance(shown)
    return [(task, found[task]) for task in todo]


def _line(result: Any) -> str:
    if isinstance(result, Figures):
        one, told = result.losses["huber_bt"], result.losses["huber_bt, told"]
        return (
            f"bt {result.losses['bt'].accuracy:.4f} huber_bt {one.gain:+.4f} [{one.low:+.4f}, {one.high:+.4f}] told "
            f"{told.gain:+.4f}; flips {result.estimated:.3f} of {result.realised:.3f}"
        )
    return " ".join(f"{name} {value:.3f}" for name, value in result.items())


def main() -> None:
    """Measure; write the page unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--resume", action="store_true", help="go on from what an interrupted run has done")
    options = parser.parse_args()
    if not SHARED.is_dir():
        raise SystemExit(f"{SHARED} is not there: set PLAUDIT_SHARED to the folder with the shared data")
    torch.set_num_threads(options.workers)
    for name in SETS:
        real_pairs(name, CACHE)
    begun, kept = time.monotonic(), CACHE / ("quick.pickle" if options.quick else "results.pickle")
    if not options.resume:
        kept.unlink(missing_ok=True)
    results = everything(tasks(options.seeds, options.quick), options.workers, kept)
    if not options.quick:
        write(PAGE, results, options.seeds * OUTER, time.monotonic() - begun)


if __name__ == "__main__":
    main()
