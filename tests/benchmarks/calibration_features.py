"""What a reward model sees of the benchmark's texts: MiniLM's hidden states, pooled as a backbone's are."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.people.judge import encoder_folder
from tests.benchmarks.calibration_texts import Stock

TOKENS = 160
LAYERS = (2, 6)
ENDS = 8


def features(stock: Stock, cache: Path | None = None) -> Tensor:
    """[I, D] float32, read off MiniLM as the product reads a backbone: for the layers of `LAYERS` the mean over the
    answer, over its first and over its last `ENDS` tokens; then answer times question, log length and its square.

    Kept in the folder `cache`, if one is given, under a hash of all texts."""
    recipe = json.dumps([stock.questions, stock.texts, TOKENS, LAYERS, ENDS])
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    kept = None if cache is None else cache / f"calibration-{digest}.npy"
    if kept is not None and kept.exists():
        return torch.from_numpy(np.load(kept))
    made = _features(stock)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, made.numpy())
    return made


def _features(stock: Stock) -> Tensor:
    answers, questions = _states(stock.texts), _states(stock.questions)[stock.prompt]
    width = answers.shape[1] // (3 * len(LAYERS))
    last = slice(-3 * width, -2 * width)  # the last layer's mean
    length = torch.from_numpy(np.log1p(stock.words)).float()[:, None]
    return torch.cat([answers, answers[:, last] * questions[:, last], length, length**2], 1)


def _states(texts: Sequence[str]) -> Tensor:
    from transformers import AutoModel, AutoTokenizer

    folder = str(encoder_folder())
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    encoder: Any = AutoModel.from_pretrained(folder).eval()
    distinct = sorted(set(texts), key=len)
    made: dict[str, Tensor] = {}
    for start in range(0, len(distinct), 64):
        chunk = distinct[start : start + 64]
        with torch.inference_mode():
            batch = tokenizer(chunk, return_tensors="pt", padding=True, truncation=True, max_length=TOKENS)
            hidden = encoder(**batch, output_hidden_states=True).hidden_states
            made.update(zip(chunk, _pooled(hidden, batch.attention_mask), strict=True))
    return torch.stack([made[text] for text in texts])


def _pooled(hidden: Sequence[Tensor], mask: Tensor) -> Tensor:
    place = mask.cumsum(1)
    spans = (mask, mask * (place <= ENDS), mask * (place > place.amax(1, keepdim=True) - ENDS))
    return torch.cat([(hidden[k] * m[..., None]).sum(1) / m.sum(1, keepdim=True) for k in LAYERS for m in spans], 1)
