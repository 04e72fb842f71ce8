"""Scoring answers, side by side with the naive padded loop: answers a second, same scores.

    python -m tests.benchmarks.bench_reward_scoring [--rounds 3] [--pairs 24] [--prompts 4]

Three kinds of work on SmolLM2 and hh-rlhf: judged pairs (two answers to a prompt), groups as a policy update makes them
(eight answers to a prompt) and the same groups again. The naive loop takes 16 answers at a time in the order in which
they come, pads them to the longest, runs the decoder (never the output layer, which would cost it another third) and
pools; it computes every prompt as often as it is answered and all layers although the reward model reads two.
Contestants take turns in one process. Medians over rounds, with the range; CPU seconds, since machines are shared.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infra.contracts import Message
from infra.models.features import pool
from infra.models.kv_cache import right_padded
from infra.models.loading import LoadedModel, decoder_and_head, load_base
from infra.settings import load_settings
from reward_model.features import FeatureRecipe, encode
from reward_model.files import Manifest
from reward_model.finetuning.examples import encode_closed
from reward_model.finetuning.model import Scorer
from reward_model.finetuning.options import FinetuneOptions
from reward_model.finetuning.saved import FinetunedRewardModel
from reward_model.finetuning.training import Finetuned
from reward_model.score_cache import ScoreCache
from reward_model.scoring import RewardModel
from reward_model.subspace import Standardizer
from tests.benchmarks.reward_training_data import conversations

RECIPE = FeatureRecipe((4, 16), 256, 256)
BATCH = 16
Work = tuple[list[Sequence[Message]], list[str]]
Array = np.ndarray[Any, np.dtype[np.float64]]


def workloads(pairs: int, prompts: int, seed: int = 0) -> dict[str, Work]:
    """Prompts and answers by kind of work; a group's answers were written to other prompts, lengths and all."""
    rows = conversations()
    draw = np.random.default_rng(seed)
    chosen = [rows[i] for i in draw.choice(len(rows), pairs, replace=False)]
    asked = [rows[i] for i in draw.choice(len(rows), prompts, replace=False)]
    answers = [rows[i].chosen for i in draw.choice(len(rows), 8 * prompts, replace=False)]
    mixed = draw.permutation(2 * pairs)
    texts = [text for row in chosen for text in (row.chosen, row.rejected)]
    return {
        "pairs": ([chosen[i // 2].messages for i in mixed], [texts[i] for i in mixed]),
        "groups of 8": ([row.messages for row in asked for _ in range(8)], answers),
    }


def random_model(loaded: LoadedModel) -> RewardModel:
    """Heads of random weights: what they say costs as much."""
    width, draw = 2 * len(RECIPE.layers) * loaded.model.config.hidden_size, torch.Generator().manual_seed(0)
    manifest = Manifest(
        name="bench",
        version=1,
        objectives=("love", "utility"),
        base_model_hash=loaded.base_model_hash,
        tokenizer_hash=loaded.tokenizer_hash,
        template_hash=loaded.template_hash,
        layers=RECIPE.layers,
        max_prompt_tokens=RECIPE.max_prompt_tokens,
        max_answer_tokens=RECIPE.max_answer_tokens,
        calibration={"love": (1.0, 0.0)},
    )
    standardizer = Standardizer(torch.zeros(width), torch.ones(width))
    return RewardModel(manifest, standardizer, torch.randn(2, 6, width, generator=draw), torch.zeros(2, 6))


def random_finetuned(loaded: LoadedModel) -> FinetunedRewardModel:
    """An adapter as large as a trained one, that changes nothing."""
    scorer = Scorer.fresh(loaded, FinetuneOptions(), 1)
    return FinetunedRewardModel.of(Finetuned(scorer, ("utility",), (), 0), RECIPE)


@torch.inference_mode()
def naive_features(loaded: LoadedModel, work: Work) -> Tensor:
    """The padded loop for frozen features."""
    decoder, _ = decoder_and_head(loaded.model)
    parts = []
    for start in range(0, len(work[1]), BATCH):
        asked, given = work[0][start : start + BATCH], work[1][start : start + BATCH]
        encoded = [encode(loaded, RECIPE, m, a) for m, a in zip(asked, given, strict=True)]
        ids, mask = right_padded([row for row, _ in encoded], loaded.pad_id, loaded.device)
        states = decoder(ids, attention_mask=mask, output_hidden_states=True, use_cache=False).hidden_states
        for row, (sequence, begin) in enumerate(encoded):
            mask[row, : min(begin, len(sequence) - 1)] = 0
        parts.append(torch.cat([pool(states[layer], mask) for layer in RECIPE.layers], 1))
    return torch.cat(parts).cpu()


@torch.inference_mode()
def naive_finetuned(model: FinetunedRewardModel, work: Work) -> Array:
    """The padded loop for a fine-tuned model, its LoRA layers computed as peft does."""
    loaded, parts = model.scorer.base, []
    decoder, _ = decoder_and_head(model.scorer.peft)
    for start in range(0, len(work[1]), BATCH):
        asked, given = work[0][start : start + BATCH], work[1][start : start + BATCH]
        rows = [list(encode_closed(loaded, RECIPE, m, a)[0]) for m, a in zip(asked, given, strict=True)]
        ids, mask = right_padded(rows, loaded.pad_id, loaded.device)
        states = decoder(ids, attention_mask=mask, use_cache=False).last_hidden_state
        last = states[torch.arange(len(rows)), mask.sum(1) - 1]
        parts.append(model.scorer.heads(last)[:, 0, 0].cpu().double().numpy())
    return np.concatenate(parts)


def timed(job: Callable[[], Array]) -> tuple[float, Array]:
    """CPU seconds on a CPU, seconds on a GPU; and the result."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    begun = clock()
    found = job()
    return clock() - begun, found


def contests(
    loaded: LoadedModel, work: dict[str, Work]
) -> dict[str, tuple[int, Callable[[], Array], Callable[[], Array]]]:
    """Name -> (answers, naive, ours); both give the utilities."""
    model, tuned, naive_tuned = random_model(loaded), random_finetuned(loaded), random_finetuned(loaded)
    for module in naive_tuned.scorer.peft.modules():
        vars(module).pop("forward", None)  # peft's own forward

    def ours(scorer: Any, given: Work) -> Array:
        found: Array = scorer.score(loaded, *given).values[:, -1]
        return found

    def fresh(given: Work) -> Array:
        return ours(dataclasses.replace(model, cache=ScoreCache()), given)

    def fresh_tuned(given: Work) -> Array:
        return ours(dataclasses.replace(tuned, cache=ScoreCache()), given)

    def slow(given: Work) -> Array:
        return np.asarray(model.score_hidden(naive_features(loaded, given)).values[:, -1])

    pairs, groups = work["pairs"], work["groups of 8"]
    return {
        "frozen features, pairs": (len(pairs[1]), lambda: slow(pairs), lambda: fresh(pairs)),
        "frozen features, groups of 8": (len(groups[1]), lambda: slow(groups), lambda: fresh(groups)),
        "frozen features, groups of 8 again": (len(groups[1]), lambda: slow(groups), lambda: ours(model, groups)),
        "fine-tuned, pairs": (len(pairs[1]), lambda: naive_finetuned(naive_tuned, pairs), lambda: fresh_tuned(pairs)),
        "fine-tuned, groups of 8": (
            len(groups[1]),
            lambda: naive_finetuned(naive_tuned, groups),
            lambda: fresh_tuned(groups),
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("plaudit-data/bench-reward-scoring/scoring.json"))
    arguments = parser.parse_args()
    loaded = load_base(load_settings())
    torch.set_num_threads(arguments.threads)
    found: dict[str, Any] = {}
    named = contests(loaded, workloads(arguments.pairs, arguments.prompts))
    named["frozen features, groups of 8 again"][2]()  # the first time
    print(
        "| work | answers | naive, answers/s | ours, answers/s | times | r of the scores |\n|---|---|---|---|---|---|"
    )
    for name, (answers, naive, ours) in named.items():
        rows = []
        for turn in range(arguments.rounds):
            order = (naive, ours) if turn % 2 == 0 else (ours, naive)
            results = {job: timed(job) for job in order}
            (slow, expected), (quick, scores) = results[naive], results[ours]
            agreement = float(np.corrcoef(expected, scores)[0, 1])
            rows.append((answers / slow, answers / quick, slow / quick, agreement))
        found[name] = rows
        a, b, c = ([row[i] for row in rows] for i in range(3))
        print(
            f"| {name} | {answers} | {_spread(a)} | {_spread(b)} | {_spread(c)} | {min(r[3] for r in rows):.4f} |",
            flush=True,
        )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1))


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"


if __name__ == "__main__":
    main()
