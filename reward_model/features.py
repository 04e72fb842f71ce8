"""Answers -> pooled hidden states of the frozen backbone, kept on disk by content so that nothing is computed twice."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from infra.contracts import Message
from infra.models.chat import render_chat
from infra.models.features import pooled_hidden_states
from infra.models.loading import LoadedModel
from infra.runtime import TryLater
from reward_model.encoders import encoder_features, load_encoder
from reward_model.feature_cache import FeatureCache

_CHUNK = 256
"""Answers between two reports of progress, and between two writes to the cache: what a kill can cost."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class FeatureRecipe:
    """How features are made. Part of a saved reward model: other features are other numbers."""

    layers: tuple[int, ...]
    max_prompt_tokens: int
    max_answer_tokens: int
    opening_tokens: int = 0
    encoder: str = ""
    """Name of an encoder that is read instead of the backbone (see `encoders`); the layers then mean nothing."""

    @property
    def reads_base(self) -> bool:
        """Whether features are hidden states of the frozen base, which whoever runs it has at hand."""
        return bool(self.layers) and not self.encoder

    def cache_name(self, loaded: LoadedModel) -> str:
        """Equal only where the same answer has the same features: recipe, weights, tokenizer, template, precision."""
        parts = [asdict(self), loaded.base_model_hash, loaded.tokenizer_hash, loaded.template_hash, str(loaded.dtype)]
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=12).hexdigest()


def encode(
    loaded: LoadedModel, recipe: FeatureRecipe, messages: Sequence[Message], answer: str
) -> tuple[list[int], int]:
    """Token ids of prompt and answer, and where the answer starts. A long prompt keeps its end, an answer its start.

    Control tokens inside the answer's text count as ordinary text: it was written by a model or a stranger.
    """
    prompt = render_chat(loaded, messages)[-recipe.max_prompt_tokens :]
    ids = loaded.tokenizer(answer, add_special_tokens=False, split_special_tokens=True).input_ids
    return prompt + list(ids[: recipe.max_answer_tokens]), len(prompt)


def answer_features(
    loaded: LoadedModel,
    recipe: FeatureRecipe,
    prompts: Sequence[Sequence[Message]],
    answers: Sequence[str],
    batch_size: int,
) -> Tensor:
    """Features [N, layers x 2 x H], float32: for each layer the mean over the answer's tokens, then the last one; and
    the mean of its opening where the recipe has one. With an encoder [N, 2 x H], see `encoders.encoder_features`."""
    if recipe.encoder:
        return encoder_features(load_encoder(recipe.encoder, loaded.device), prompts, answers, recipe.max_answer_tokens)
    encoded = [encode(loaded, recipe, messages, text) for messages, text in zip(prompts, answers, strict=True)]
    return pooled_hidden_states(
        loaded,
        [ids for ids, _ in encoded],
        [start for _, start in encoded],
        recipe.layers,
        opening=recipe.opening_tokens,
        micro_batch=batch_size,
    )


def cached_features(
    loaded: LoadedModel,
    recipe: FeatureRecipe,
    prompts: Sequence[Sequence[Message]],
    answers: Sequence[str],
    keys: Sequence[str],
    *,
    cache: FeatureCache | None,
    batch_size: int,
    progress: Progress,
    should_stop: Callable[[], bool] = lambda: False,
) -> Tensor:
    """`answer_features` of N >= 1 answers, each content (`keys`, see AnswerRow.content_key) computed at most once.

    Raises TrainingStopped between chunks when `should_stop()`; what was computed stays in the cache.
    """
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    known = cache.read(set(first)) if cache is not None else {}
    # Like lengths in one chunk, longest first: little padding, and the estimate of the time left errs on the safe side.
    missing = sorted((i for key, i in first.items() if key not in known), key=lambda i: -len(answers[i]))
    for start in range(0, len(missing), _CHUNK):
        if should_stop():
            raise TrainingStopped("stopped while reading features; the ones already made are kept in the cache")
        progress(start / len(missing), f"features of {len(missing)} answers ({len(first) - len(missing)} known)")
        rows = missing[start : start + _CHUNK]
        made = answer_features(loaded, recipe, [prompts[i] for i in rows], [answers[i] for i in rows], batch_size)
        fresh = {keys[i]: made[j] for j, i in enumerate(rows)}
        if cache is not None:
            cache.write(fresh)
        known.update(fresh)
    progress(1.0, "features ready")
    return torch.stack([known[key] for key in keys])


class TrainingStopped(TryLater):
    """The job was asked to end; the next run goes on from the cache."""

    code = "training_stopped"
