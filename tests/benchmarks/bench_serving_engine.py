"""The local engine's speed: `python -m tests.benchmarks.bench_serving_engine [--quick]`. Run it alone.

Sixteen chats at once with answers of skewed lengths, greedy, on the base model of the settings. In each of five rounds,
one after the other so that a busy machine harms all alike: our engine on the base, with one adapter beside it, with two
at once; `generate` of transformers, one request at a time; `transformers serve`, where it runs. Ratios are taken within
a round, and their median is told.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch: spinning threads slow each other down

import torch
import transformers

from infra.models.fingerprint import distance, measure_by_modules
from infra.models.loading import LoadedModel, load_base
from infra.models.lora import attach_lora, save_adapter
from infra.models.merging import merged_copy
from infra.models.voices import adapter_voice, base_voice, measure_voice, model_voice
from infra.settings import load_settings
from serving.engine import LocalEngine
from tests.benchmarks.serving_chats import Chat, Taken, by_engine, chats
from tests.benchmarks.serving_rivals import TransformersServe, one_at_a_time

ROUNDS = 5
BASE, ONE, TWO = "engine, base", "engine, one adapter", "engine, two adapters"
GENERATE = "generate, one at a time"
ADAPTERS = ("bench@1", "bench@2")
Contestant = Callable[[Sequence[Chat]], Taken]
LIMITS = {"over_generate": 3.0, "over_serve": 1.0, "two_adapters_cost": 0.25}
"""At least 3 times `generate`, at least `transformers serve`, two adapters at most a quarter dearer than one."""


def measure(quick: bool = False) -> dict[str, Any]:
    """Run all rounds; a document that JSON can hold. `quick`: two rounds of four short chats, for trying it out."""
    settings = load_settings()
    loaded = load_base(settings)
    asked = chats(loaded, quick)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engine = stack.enter_context(_engine(loaded, folder))
        contestants: dict[str, Contestant] = {
            BASE: lambda load: by_engine(engine, load, ["base"]),
            ONE: lambda load: by_engine(engine, load, ADAPTERS[:1]),
            TWO: lambda load: by_engine(engine, load, ADAPTERS),
            GENERATE: lambda load: one_at_a_time(loaded, load),
        }
        served, why_not = _serve(stack, loaded, folder)
        for server in served:
            contestants[server.name] = server.measure
        agreement = _agreement(loaded, folder / ADAPTERS[0])
        rounds = _rounds(contestants, asked, 2 if quick else ROUNDS)
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "date": datetime.now(UTC).date().isoformat(),
        "model": settings.model.base,
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "chats": len(asked),
        "max_tokens": [chat.max_tokens for chat in asked],
        "prompt_tokens": [len(chat.prompt) for chat in asked],
        "serve_left_out": why_not,
        "tokens_per_second": {name: [taken.rate for taken in own] for name, own in rounds.items()},
        "tokens": {name: own[-1].tokens for name, own in rounds.items()},
        "first_token_seconds_p95": {name: _p95(rounds[name]) for name in (BASE, ONE, TWO)},
        "ratios": _ratios(rounds, [server.name for server in served]),
        "limits": LIMITS,
        "agreement_nats": agreement,
    }


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        f"{result['chats']} chats at once on {result['model']} ({result['dtype']}), {result['machine']}, "
        f"{', '.join(f'{name} {version}' for name, version in result['versions'].items())}, {result['date']}. "
        f"Answers of {min(result['max_tokens'])} to {max(result['max_tokens'])} tokens at most, greedy. The "
        "engine is asked through its port, `transformers serve` over HTTP, without streaming.",
        "",
        "| | tokens/s, median | least | most | first token, 95th percentile |",
        "|---|---|---|---|---|",
    ]
    for name, rates in result["tokens_per_second"].items():
        first = result["first_token_seconds_p95"].get(name)
        told = "" if first is None else f"{first:.2f} s"
        lines.append(f"| {name} | {statistics.median(rates):.0f} | {min(rates):.0f} | {max(rates):.0f} | {told} |")
    lines += ["", "| | median of the rounds' ratios | target | |", "|---|---|---|---|"]
    lines += [_ratio_line(row) for row in result["ratios"]]
    lines += ["", "| log-probabilities of the probes, mean absolute difference | nats a token |", "|---|---|"]
    lines += [f"| {what} | {value:.4f} |" for what, value in result["agreement_nats"].items()]
    if result["serve_left_out"]:
        lines += ["", f"Not measured: {result['serve_left_out']}."]
    return "\n".join(lines)


@contextmanager
def _engine(loaded: LoadedModel, folder: Path) -> Iterator[LocalEngine]:
    """Our engine with two random adapters of rank 16 on every linear layer."""
    for seed, ref in enumerate(ADAPTERS):
        _save_random_adapter(loaded, folder / ref, seed)
    engine = LocalEngine(loaded)
    try:
        for ref in ADAPTERS:
            engine.load_adapter(ref, str(folder / ref))
        yield engine
    finally:
        engine.close()


def _save_random_adapter(loaded: LoadedModel, folder: Path, seed: int) -> None:
    model = attach_lora(loaded, rank=16, seed=seed)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 1e-3)
    save_adapter(model, loaded, folder)
    model.unload()
    loaded.model.requires_grad_(False)


def _serve(stack: ExitStack, loaded: LoadedModel, folder: Path) -> tuple[list[TransformersServe], str]:
    """`transformers serve` in both of its modes, as far as they run here; why one does not."""
    missing = TransformersServe.missing()
    if missing:
        return [], f"transformers serve ({missing})"
    running, reasons = [], []
    dtype = str(loaded.dtype).removeprefix("torch.")
    for continuous in (False, True):
        log = folder / f"serve-{continuous}.log"
        server = TransformersServe(loaded.path, dtype, torch.get_num_threads(), log, continuous=continuous)
        stack.callback(server.close)
        problem = server.ready()
        if problem is None:
            running.append(server)
        else:
            reasons.append(f"{server.name} ({problem})")
    return running, "; ".join(reasons)


def _agreement(loaded: LoadedModel, folder: Path) -> dict[str, float]:
    """Mean absolute differences of log-probabilities on the probes, nats a token: between LoRA beside the base and
    merged into it, between transformers' modules and the engine's steps on the bare base, and between batch shapes of
    the steps."""
    base = base_voice(loaded)
    if base is None:
        raise SystemExit(f"{loaded.path} is of an architecture that the engine's steps do not compute")
    copied = model_voice(merged_copy(loaded, folder))
    assert copied is not None, "a merged copy has the base's architecture"
    beside = measure_voice(loaded, base, adapter_voice(loaded, base, folder))
    by_steps = measure_voice(loaded, base, base)
    return {
        "LoRA beside the base against merged into it": distance(beside, measure_voice(loaded, base, copied)),
        "the base by transformers' modules against the engine's steps": distance(by_steps, measure_by_modules(loaded)),
        "batch shapes of the engine's steps": max(beside.noise, by_steps.noise),
    }


def _rounds(contestants: dict[str, Contestant], asked: list[Chat], count: int) -> dict[str, list[Taken]]:
    """A short round to warm up, then `count`."""
    found: dict[str, list[Taken]] = {name: [] for name in contestants}
    for number in range(count + 1):
        for name, run in contestants.items():
            taken = run(asked if number else asked[:3])
            if number:
                found[name].append(taken)
                print(f"round {number} of {count}: {name}: {taken.rate:.1f} tokens/s", flush=True)
    return found


def _ratios(rounds: dict[str, list[Taken]], servers: list[str]) -> list[dict[str, Any]]:
    """Every figure of the issue with its target; ratios within rounds."""

    def median(one: str, other: str) -> float:
        return statistics.median(a.rate / b.rate for a, b in zip(rounds[one], rounds[other], strict=True))

    found = [_figure("engine over generate, one at a time", median(BASE, GENERATE), LIMITS["over_generate"], True)]
    found += [_figure(f"engine over {name}", median(BASE, name), LIMITS["over_serve"], True) for name in servers]
    cost = statistics.median(
        (two.seconds / two.tokens) / (one.seconds / one.tokens) - 1
        for one, two in zip(rounds[ONE], rounds[TWO], strict=True)
    )
    return [*found, _figure("cost of two adapters at once over one", cost, LIMITS["two_adapters_cost"], False)]


def _figure(what: str, value: float, target: float, at_least: bool) -> dict[str, Any]:
    reached = value >= target if at_least else value <= target
    return {"what": what, "value": value, "target": target, "at_least": at_least, "reached": reached}


def _ratio_line(row: dict[str, Any]) -> str:
    sign = "at least" if row["at_least"] else "at most"
    form = "{:.2f}" if row["at_least"] else "{:+.0%}"
    target = row["target"] if row["at_least"] else f"{row['target']:.0%}"
    reached = "reached" if row["reached"] else "MISSED"
    return f"| {row['what']} | {form.format(row['value'])} | {sign} {target} | {reached} |"


def _p95(own: list[Taken]) -> float:
    times = sorted(seconds for taken in own for seconds in taken.first_tokens)
    return times[min(len(times) - 1, int(0.95 * len(times)))]


def main() -> None:
    """Measure, print the table, write the document if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, for trying it out")
    parser.add_argument("--json", type=Path, help="where to write the document")
    given = parser.parse_args()
    result = measure(given.quick)
    print(table(result))
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
