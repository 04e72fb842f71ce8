"""How fast this machine draws answers, in a process of its own: `python -m plaudit.demo.pace PLAUDIT.TOML`.

Prints {"tokens_per_second": ...} as its last line. What a demo takes goes with it: people wait for answers, and the
policy update draws some before each step.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from infra.contracts import Message, SamplingParameters
from infra.settings import load_settings
from plaudit.demo import prompts

if TYPE_CHECKING:  # torch is loaded when the configuration has been read
    from infra.models.loading import LoadedModel
    from infra.models.port import GenerationRequest

ROWS = 48
TOKENS = 16
ROUNDS = 3
ENOUGH_SECONDS = 4.0
"""No further round after that long: one is enough where it takes seconds."""


def measure(loaded: "LoadedModel") -> float:
    """Tokens a second of a batch of the demo's own prompts, their computation included: the median of some rounds."""
    from infra.models.generate import generate

    known, _ = prompts.split()
    asked = [_request(loaded, number, known[number % len(known)]) for number in range(ROWS)]
    generate(loaded, asked[:2])  # the first of everything costs more
    rates: list[float] = []
    started = time.perf_counter()
    while len(rates) < ROUNDS and time.perf_counter() - started < ENOUGH_SECONDS:
        begun = time.perf_counter()
        drawn = sum(len(answer.token_ids) for answer in generate(loaded, asked))
        rates.append(drawn / (time.perf_counter() - begun))
    return statistics.median(rates)


def _request(loaded: "LoadedModel", number: int, prompt: str) -> "GenerationRequest":
    from infra.models.chat import render_chat
    from infra.models.port import GenerationRequest

    rendered = render_chat(loaded, [Message("system", prompts.SYSTEM), Message("user", prompt)])
    return GenerationRequest(tuple(rendered), SamplingParameters(seed=number, temperature=0.8, max_tokens=TOKENS))


def main() -> None:
    """Measure with the base model of the configuration, and print."""
    settings = load_settings(Path(sys.argv[1]))
    from infra.models.loading import load_base

    loaded = load_base(settings)
    print(json.dumps({"tokens_per_second": measure(loaded)}))


if __name__ == "__main__":
    main()
