"""How much of the whole demo fits into its time on this machine. Nobody who tries a system waits for half an hour."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from plaudit.demo.options import DemoOptions

MINUTES = 13.5
"""What a demo may take by this reckoning; the limit is 15."""
WAITING_MINUTES = 2.2
"""What no machine shortens: starting, loading, windows that close. The experiment's own time comes on top."""
WORK = 1650.0
"""Minutes times tokens a second (`plaudit.demo.pace`) of the whole demo's people and training steps."""
JUDGING = 280.0
"""The same for the gate and for one answer a prompt at the end, which stay as they are."""
SECOND_ANSWER = 130.0
"""The same for a second answer a prompt at the end."""
SHORT_EXPERIMENT_SECONDS = 120.0
LEAST_PEOPLE = 300
"""Some 370 labels and 70 pairs: with fewer there is hardly anything to learn from."""
LEAST_STEPS = 4


def minutes(options: DemoOptions, tokens_per_second: float) -> float:
    """What a demo of this size takes by the reckoning, half of the scaled work being the people's."""
    whole = DemoOptions()
    share = 0.5 * (options.people_before / whole.people_before + options.steps / whole.steps)
    work = share * WORK + JUDGING + (options.evaluation_answers - 1) * SECOND_ANSWER
    return WAITING_MINUTES + options.experiment_seconds / 60 + work / tokens_per_second


def sized(options: DemoOptions, tokens_per_second: float) -> DemoOptions:
    """`options` as they are where they fit; else a shorter experiment, one answer a prompt at the end, and of people
    and training steps what then fits."""
    measured = replace(options, tokens_per_second=tokens_per_second)
    if minutes(measured, tokens_per_second) <= MINUTES:
        return measured
    found = replace(measured, evaluation_answers=1, experiment_seconds=SHORT_EXPERIMENT_SECONDS)
    room = MINUTES - minutes(replace(found, people_before=0, steps=0), tokens_per_second)
    share = min(1.0, room * tokens_per_second / WORK)
    return replace(
        found,
        people_before=max(LEAST_PEOPLE, int(options.people_before * share)),
        steps=max(LEAST_STEPS, round(options.steps * share)),
    )


def tokens_per_second(config: Path, timeout_seconds: float = 900.0) -> float | None:
    """What this machine draws, measured in a process of its own, which leaves no memory behind; None where that fails:
    the system is about to say why. The first time fetches the base model."""
    environment = {"GOMP_SPINCOUNT": "1000", **os.environ}
    command = [sys.executable, "-m", "plaudit.demo.pace", str(config)]
    try:
        ended = subprocess.run(command, env=environment, capture_output=True, timeout=timeout_seconds, check=True)
        return float(json.loads(ended.stdout.splitlines()[-1])["tokens_per_second"])
    except (subprocess.SubprocessError, LookupError, ValueError):
        return None


def told(whole: DemoOptions, options: DemoOptions) -> str:
    """One sentence about the size, empty where it is the whole."""
    rate = options.tokens_per_second
    if rate is None or whole == replace(options, tokens_per_second=None):
        return ""
    return (
        f"This machine draws {rate:.0f} tokens a second, so this is a smaller demo of about "
        f"{minutes(options, rate):.0f} minutes: {options.people_before} people and {options.steps} training steps (the "
        f"whole has {whole.people_before} and {whole.steps}), {options.experiment_seconds:.0f} s of experiment. "
        "--people or --steps choose otherwise."
    )
