"""docs/benchmarks/policy-update.md out of the figures of `bench_policy_update`."""

import statistics
from typing import Any

PHASES = ("generation", "scoring", "update")
WARM_UP = 2


def medians(result: dict[str, Any]) -> dict[str, float]:
    """Each column's median over the steps after the warm-up."""
    steps = result["steps"][WARM_UP:]
    return {name: statistics.median(step[name] for step in steps) for name in steps[0]}


def summary(document: dict[str, Any]) -> dict[str, dict[str, float]]:
    """By contestant: medians over all its rounds' steps, the range of a step, and the peak."""
    found = {}
    for name, rounds in document["contestants"].items():
        steps = [step for result in rounds for step in result["steps"][WARM_UP:]]
        row = {column: statistics.median(step[column] for step in steps) for column in steps[0]}
        row |= {"fastest": min(s["total"] for s in steps), "slowest": max(s["total"] for s in steps)}
        found[name] = row | {"peak": max(result["peak"] for result in rounds), "steps": len(steps)}
    return found


def limits(document: dict[str, Any]) -> dict[str, float]:
    """Seconds each phase needs at the rate of products measured in this run (median over its measurements)."""
    peaks = document["peaks"]
    return {
        phase: peaks[0]["operations"][phase] / statistics.median(peak["rates"][phase] for peak in peaks)
        for phase in PHASES
    }


def table(document: dict[str, Any]) -> str:
    """Seconds of a step, tokens a second and share of the limit by phase, and memory."""
    rows, bounds = summary(document), limits(document)
    lines = [
        "| | step, s (range) | generation | scoring | update | CPU s | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        cells = [
            f"{row[phase]:.2f} s, {row['tokens'] / row[phase]:.0f} tok/s, {bounds[phase] / row[phase]:.0%} of the limit"
            for phase in PHASES
        ]
        total = f"{row['total']:.1f} ({row['fastest']:.1f}-{row['slowest']:.1f})"
        lines.append(f"| {name} | {total} | {' | '.join(cells)} | {row['cpu']:.1f} | {row['peak'] / 2**30:.2f} GiB |")
    lines.append(
        f"| limit | {sum(bounds.values()):.1f} | " + " | ".join(f"{bounds[phase]:.2f} s" for phase in PHASES) + " | | |"
    )
    return "\n".join(lines)


def ratios(document: dict[str, Any], own: str) -> str:
    """Ours against each other contestant: times as fast in wall clock and in CPU seconds, and share of its memory."""
    rows = summary(document)
    lines = [
        "| against | times as fast (wall) | times as fast (CPU seconds) | share of its memory |",
        "|---|---|---|---|",
    ]
    for name, row in rows.items():
        if name != own:
            wall, cpu = row["total"] / rows[own]["total"], row["cpu"] / rows[own]["cpu"]
            lines.append(f"| {name} | {wall:.2f} | {cpu:.2f} | {rows[own]['peak'] / row['peak']:.0%} |")
    return "\n".join(lines)


def page(document: dict[str, Any], own: str) -> str:
    """The whole page."""
    task, machine = document["task"], document["machine"]
    steps = int(next(iter(summary(document).values()))["steps"])
    gpu = (
        "These figures are of a GPU."
        if machine["cuda"]
        else "**Not yet run on a GPU.** The same command uses one where torch finds it, and then measures TRL with "
        "vLLM as well where vLLM is installed beside TRL; nobody has run that yet, so the figures aimed at there (5 "
        "times TRL with generate, 1.3 times TRL with vLLM) are neither reached nor missed."
    )
    return f"""# A policy update beside TRL's

`make bench-policy-update TRL_PYTHON=PATH` ({machine["date"]}; {machine["cores"]} cores {machine["arch"]}, torch
{machine["torch"]}, transformers {machine["transformers"]}, TRL {machine["trl"]}). One GRPO step of
SmolLM2-135M-Instruct: {task["prompts"]} prompts x {task["group"]} answers x {task["new_tokens"]} tokens (no answer may
end before), LoRA rank {task["rank"]} on all linear layers, bf16, temperature {task["temperature"]:g}, nothing
truncated, KL coefficient {task["beta"]:g} with a pass of the reference on both sides, a reward that costs nothing,
{task["threads"]} threads. A process for each contestant, taking turns; medians of {steps} steps after {WARM_UP} warm-up
steps. No group is skipped on either side, so none counts as speed.

{table(document)}

{ratios(document, own)}

- *limit*: the products that a step cannot do without (each prompt once a phase, weights frozen), at the rate that
  `torch.nn.functional.linear` reaches on one layer's shapes, measured in the same run: {_rates(document)}.
- *generation* draws the answers; *scoring* is the pass of the reference, and for Plaudit the reward; *update* is
  forward, backward and optimiser. TRL's rewards and advantages count as its scoring.
- The target is at least 2.5 times as fast end to end (aim 5) at no more than 60 % of the memory. TRL checkpoints
  activations by default, which takes time and saves memory: both ways stand above, and the target is held against each.
- CPU seconds stand beside the clock, which other work on a machine stretches; this one was
  {"shared" if machine["shared"] else "idle"} (load average {machine["load"]:.1f} at the start).

{gpu}
"""


def _rates(document: dict[str, Any]) -> str:
    peaks = document["peaks"]
    few, many = (statistics.median(peak["rates"][phase] for peak in peaks) / 1e9 for phase in ("generation", "update"))
    return f"{few:.0f} GFLOP/s at the rows of generation, {many:.0f} at those of a micro-batch"
