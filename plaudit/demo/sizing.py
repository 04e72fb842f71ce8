"""How much of the whole demo is done on this machine. Nobody who tries a system waits for half an hour.

On a slow machine there is less of everything, down to what can still be learned from; on a very slow one that takes
longer than a quarter of an hour, too, and the demo says so before it begins.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from infra.runtime.children import SPIN_LIMIT
from plaudit.demo.options import DemoOptions

MINUTES = 11.5
"""What a demo may take by this reckoning; the limit is 15, and a machine that is shared slows down meanwhile."""
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
LEAST_STEPS = 6
"""With fewer the gate hardly ever sees enough gain to let anybody meet the adapter; with six it sometimes does not."""
PATIENT_FROM = 60.0
"""Tokens a second below which the demo waits longer for its trainings, in proportion."""


def minutes(options: DemoOptions, tokens_per_second: float) -> float:
    """What a demo of this size takes by the reckoning, half of the scaled work being the people's."""
    whole = DemoOptions()
    share = 0.5 * (options.people_before / whole.people_before + options.steps / whole.steps)
    work = share * WORK + JUDGING + (options.evaluation_answers - 1) * SECOND_ANSWER
    return WAITING_MINUTES + options.experiment_seconds / 60 + work / tokens_per_second


def sized(options: DemoOptions, tokens_per_second: float) -> DemoOptions:
    """`options` as they are where they fit; else a shorter experiment, one answer a prompt at the end, and as many
    people and training steps as then fit, but no fewer than LEAST_PEOPLE and LEAST_STEPS (and never more)."""
    measured = replace(options, tokens_per_second=tokens_per_second)
    if minutes(measured, tokens_per_second) <= MINUTES:
        return measured
    found = replace(measured, evaluation_answers=1, experiment_seconds=SHORT_EXPERIMENT_SECONDS)
    room = MINUTES - minutes(replace(found, people_before=0, steps=0), tokens_per_second)
    share = min(1.0, room * tokens_per_second / WORK)
    people, steps = options.people_before, options.steps
    return replace(
        found,
        people_before=min(people, max(LEAST_PEOPLE, int(people * share))),
        steps=min(steps, max(LEAST_STEPS, round(steps * share))),
        training_patience_seconds=options.training_patience_seconds * max(1.0, PATIENT_FROM / tokens_per_second),
    )


def tokens_per_second(config: Path, timeout_seconds: float = 600.0) -> float | None:
    """What this machine draws, measured in a process of its own, which leaves no memory behind: 1 at most where it does
    not end in time, None where it fails. The first time fetches the base model."""
    environment = {**SPIN_LIMIT, **os.environ}
    command = [sys.executable, "-m", "plaudit.demo.pace", str(config)]
    try:
        ended = subprocess.run(command, env=environment, capture_output=True, timeout=timeout_seconds, check=True)
        return float(json.loads(ended.stdout.splitlines()[-1])["tokens_per_second"])
    except subprocess.TimeoutExpired:
        return 1.0
    except (subprocess.SubprocessError, OSError, LookupError, ValueError):
        return None


def told(whole: DemoOptions, options: DemoOptions) -> str:
    """What was cut, and what it takes then; empty where nothing was."""
    rate = options.tokens_per_second
    if rate is None:
        return ""
    pairs = (
        ("people", whole.people_before, options.people_before),
        ("training steps", whole.steps, options.steps),
        ("seconds of experiment", whole.experiment_seconds, options.experiment_seconds),
        ("answers a prompt for the last judges", whole.evaluation_answers, options.evaluation_answers),
    )
    cut = [f"{now:.0f} of {before:.0f} {what}" for what, before, now in pairs if now < before]
    if not cut:
        return ""
    return (
        f"This machine draws {rate:.0f} tokens a second, so this is a smaller demo of about "
        f"{minutes(options, rate):.0f} minutes: {', '.join(cut)}. `--people {whole.people_before} --steps "
        f"{whole.steps}` makes the whole."
    )
