"""Tokens a second: `python -m tests.benchmarks.bench_generation [rows ...]`. Median and spread of five rounds.

Compared in the same rounds, so that a busy machine harms all alike: our sampling loop on the base, on a merged adapter
and on LoRA beside the base, and transformers' `generate`. Run it alone. Needs the base model of the settings.
"""

import copy
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch: spinning threads slow each other down

import torch

from infra.contracts import Message, SamplingParameters
from infra.models.chat import render_chat
from infra.models.generate import generate
from infra.models.kv_cache import left_padded
from infra.models.loading import LoadedModel, load_base
from infra.models.lora import attach_lora, save_adapter
from infra.models.merging import merged_copy
from infra.models.port import GenerationRequest
from infra.settings import load_settings

TOKENS = 48
ROUNDS = 5
QUESTIONS = ("How can I fall asleep faster?", "What is inflation?", "Why is the sky blue?", "How do vaccines work?")


def with_lora(loaded: LoadedModel) -> tuple[Any, Any]:
    """(LoRA of rank 16 beside the base in the base's precision, the same merged)."""
    own = dataclasses.replace(loaded, model=copy.deepcopy(loaded.model))
    beside = attach_lora(own, rank=16)
    with torch.no_grad():
        for name, parameter in beside.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.to(loaded.dtype)
            if "lora_B" in name:
                parameter.normal_(0.0, 0.01)
    with tempfile.TemporaryDirectory() as folder:
        save_adapter(beside, loaded, Path(folder))
        return beside, merged_copy(loaded, Path(folder))


def ours(loaded: LoadedModel, prompts: list[tuple[int, ...]], model: Any) -> int:
    """Tokens drawn; rows that end early leave the batch."""
    requests = [GenerationRequest(p, SamplingParameters(seed=i, max_tokens=TOKENS)) for i, p in enumerate(prompts)]
    return sum(len(answer.token_ids) for answer in generate(loaded, requests, model=model))


def theirs(loaded: LoadedModel, prompts: list[tuple[int, ...]]) -> int:
    """Useful tokens of transformers' own loop: what it computes for rows that have ended is not counted."""
    ids, mask = left_padded([list(p) for p in prompts], loaded.pad_id, loaded.device)
    drawn = loaded.model.generate(
        ids, attention_mask=mask, max_new_tokens=TOKENS, do_sample=True, top_k=0, pad_token_id=loaded.pad_id
    )[:, ids.shape[1] :]
    ended = (drawn == loaded.end_ids[0]).int().cumsum(1)
    return int((ended - (drawn == loaded.end_ids[0]).int() == 0).sum())


def main() -> None:
    """Measure and print."""
    loaded = load_base(load_settings())
    beside, merged = with_lora(loaded)
    for rows in [int(text) for text in sys.argv[1:]] or [1, 8, 32]:
        asked = [render_chat(loaded, [Message("user", QUESTIONS[i % len(QUESTIONS)])]) for i in range(rows)]
        prompts = [tuple(ids) for ids in asked]
        contestants: dict[str, Callable[[], int]] = {
            "base": lambda p=prompts: ours(loaded, p, None),  # type: ignore[misc]
            "merged adapter": lambda p=prompts: ours(loaded, p, merged),  # type: ignore[misc]
            "LoRA beside the base": lambda p=prompts: ours(loaded, p, beside),  # type: ignore[misc]
            "transformers generate": lambda p=prompts: theirs(loaded, p),  # type: ignore[misc]
        }
        found: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(ROUNDS):
            for name, run in contestants.items():
                start = time.perf_counter()
                tokens = run()
                found[name].append(tokens / (time.perf_counter() - start))
        for name, rates in found.items():
            median = statistics.median(rates)
            print(f"{rows:>3} rows  {name:<22} median {median:6.0f} tokens/s, {min(rates):.0f} to {max(rates):.0f}")


if __name__ == "__main__":
    main()
