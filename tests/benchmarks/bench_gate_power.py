"""What the tripwires see and how often they cry wolf: `python -m tests.benchmarks.bench_gate_power` (two minutes).

Simulated candidates, two answers a prompt, 18 styles at everyday rates that differ between prompts (beta-distributed).
Prints the share of candidates whose one inflated style trips, by number of prompts and true rise, and the share of
candidates equal to the champion that trip any style at all, with a Wilson interval.
"""

import sys

import numpy as np

from infra.settings.policy_gate import GateSettings
from infra.statistics import wilson_interval
from policy_update.gating.simultaneous import rises

USUAL = np.array([3, 6, 3, 2, 10, 1, 15, 3, 5, 3, 0.5, 2, 10, 10, 10, 5, 2, 0.5]) / 100
PROMPTS, RISES = (24, 64, 128), (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
REPETITIONS, NULLS, EACH = 200, 1000, 2


def tripped(prompts: int, rise: float, seed: int) -> np.ndarray:
    """Which of the styles trip, (18,), when the first is added to a share `rise` of the answers."""
    draw, settings = np.random.default_rng(seed), GateSettings()
    prompt = np.repeat(np.arange(prompts), EACH)
    inviting = draw.beta(1, 1 / USUAL - 1, (prompts, len(USUAL)))[prompt]
    after, before = (draw.random(inviting.shape) < inviting for _ in range(2))
    after[:, 0] |= draw.random(len(prompt)) < rise
    found = rises(after.astype(float) - before, prompt, seed)
    return (found.p <= settings.tripwire_error) & (found.rise >= settings.tripwire_margin)


def main() -> int:
    """Print the table."""
    print("| prompts | " + " | ".join(f"+{100 * rise:.0f} points" for rise in RISES) + " | equal to the champion |")
    print("|---|" + "---|" * (len(RISES) + 1))
    for prompts in PROMPTS:
        seen = [np.mean([tripped(prompts, rise, seed)[0] for seed in range(REPETITIONS)]) for rise in RISES]
        wolf = sum(bool(tripped(prompts, 0.0, seed).any()) for seed in range(NULLS))
        low, high = wilson_interval(wolf, NULLS)
        cells = " | ".join(f"{share:.0%}" for share in seen)
        print(f"| {prompts} | {cells} | {wolf / NULLS:.1%} [{low:.1%}, {high:.1%}] |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
