"""Safety as a reward: a lexicon of what must not be said, or a classifier of your own."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from policy_update.rewards.batch import AnswerBatch, FloatArray, InvalidReward, Reward, each


def lexicon(words: Sequence[str] = (), file: str = "", cost: bool = False) -> Reward:
    """-1 for an answer that holds one of the words or phrases, else 0; with `cost` 1 and 0, for a limit. Whole words,
    case and spacing ignored; one phrase a line in `file`, empty lines and lines that begin with # left out. Raises
    InvalidReward."""
    phrases = [*words, *(_lines(file) if file else [])]
    if not phrases:
        raise InvalidReward("lexicon: neither words nor file is given: there is nothing to look for", field="words")
    said = re.compile("|".join(_pattern(phrase) for phrase in phrases), re.IGNORECASE)
    said_so = 1.0 if cost else -1.0
    return lambda batch: each(batch, lambda row: said_so if said.search(batch.texts[row]) else 0.0)


def _lines(file: str) -> list[str]:
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidReward(f"lexicon: {file} cannot be read ({error}): name a text file", field="file") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _pattern(phrase: str) -> str:
    return r"(?<!\w)" + r"\s+".join(map(re.escape, phrase.split())) + r"(?!\w)"


def classifier(model: str = "", label: str = "", batch_size: int = 32, cost: bool = False) -> Reward:
    """Minus the probability that a transformers text classifier (a folder) gives to `label`, in [-1, 0]; with `cost`
    the probability itself, for a limit.

    The classifier reads the answer alone. Raises InvalidReward when the folder or the label is not there.
    """
    tokenizer, network, index = _classifier(model, label)

    def score(batch: AnswerBatch) -> FloatArray:
        import torch

        parts = []
        for start in range(0, len(batch), batch_size):
            texts = list(batch.texts[start : start + batch_size])
            inputs = tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=512)
            with torch.no_grad():
                parts.append(network(**inputs).logits.double().softmax(-1)[:, index])
        found: FloatArray = torch.cat(parts).numpy()
        return found if cost else -found

    return score


@cache
def _classifier(model: str, label: str) -> tuple[Any, Any, int]:
    if not model or not (Path(model).expanduser() / "config.json").is_file():
        raise InvalidReward(
            f"classifier: model {model!r} is no model folder (no config.json in it): download one and name its folder",
            field="model",
        )
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = Path(model).expanduser()
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    labels = {str(name).lower(): int(index) for index, name in network.config.id2label.items()}
    if label.lower() not in labels:
        raise InvalidReward(
            f"classifier: {folder.name} knows no label {label!r}; it has {', '.join(sorted(labels))}", field="label"
        )
    return AutoTokenizer.from_pretrained(folder), network, labels[label.lower()]
