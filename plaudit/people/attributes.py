"""What people look for in an answer: four surface attributes, none of them length.

They are properties of the text that a reader notices; the product never computes them. It can learn them only from
what people do.
"""

import re

import numpy as np
from numpy.typing import NDArray

ATTRIBUTES: tuple[str, ...] = ("warm", "personal", "concrete", "complete")
"""warm: an encouraging word or an exclamation mark; personal: addresses the reader within the first twelve words;
concrete: an example, a list of cases or a number; complete: ends as a sentence does, not cut off."""

_WARM = re.compile(
    r"\b(great|enjoy\w*|happy|fun|wonderful|rewarding|excellent|love|good luck|easy|absolutely|amazing|exciting|"
    r"delicious|beautiful|perfect|best|simple|favorite|relax\w*)\b|!",
    re.IGNORECASE,
)
_PERSONAL = re.compile(r"\b(you|your|you're|you'll|yourself)\b", re.IGNORECASE)
_CONCRETE = re.compile(r"\b(for example|for instance|such as|like|e\.g\.|including)\b|\d", re.IGNORECASE)


def attributes_of(text: str, *, finished: bool) -> NDArray[np.float64]:
    """Which of `ATTRIBUTES` the answer shows: a vector (4,) of zeros and ones."""
    words = text.split()
    complete = finished and len(words) >= 6 and text.rstrip().endswith((".", "!", "?"))
    return np.array(
        [
            bool(_WARM.search(text)),
            bool(_PERSONAL.search(" ".join(words[:12]))),
            bool(_CONCRETE.search(text)),
            complete,
        ],
        dtype=np.float64,
    )


def fluency(text: str) -> float:
    """1 for ordinary prose, falling to 0 with repeated words and trigrams, odd characters, and near-empty answers."""
    words = re.findall(r"[a-z']+", text.lower())
    if len(words) < 4:
        return 0.3
    unique = len(set(words)) / len(words)
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    repeated = 1 - len(set(trigrams)) / max(1, len(trigrams))
    odd = sum(not (c.isalnum() or c in " .,;:'\"!?()-\n*%$&/`#") for c in text) / max(1, len(text))
    penalty = 2 * max(0.0, 0.55 - unique) + 3 * max(0.0, repeated - 0.05) + 10 * max(0.0, odd - 0.03)
    return float(np.clip(1 - penalty, 0, 1))
