"""What people look for in an answer: four surface attributes, none of them length.

They are properties of the text that a reader notices; the product never computes them. It can learn them only from
what people do.
"""

import re

import numpy as np
from numpy.typing import NDArray

ATTRIBUTES: tuple[str, ...] = ("personal", "direct", "concrete", "complete")
"""personal: says you or your at least twice; direct: does not open by restating the question (To ..., The ..., A ...);
concrete: an example, a list of cases or a number; complete: ends as a sentence does, not cut off."""

_PERSONAL = re.compile(r"\b(you|your|you're|you'll|yourself)\b", re.IGNORECASE)
_PREAMBLE = re.compile(r"^\W*(to|the|a|an)\b", re.IGNORECASE)
_CONCRETE = re.compile(r"\b(for example|for instance|such as|like|e\.g\.|including)\b|\d", re.IGNORECASE)


def attributes_of(text: str, *, finished: bool) -> NDArray[np.float64]:
    """Which of `ATTRIBUTES` the answer shows: a vector (4,) of zeros and ones."""
    words = text.split()
    complete = finished and len(words) >= 6 and text.rstrip().endswith((".", "!", "?"))
    return np.array(
        [
            len(_PERSONAL.findall(text)) >= 2,
            bool(words) and not _PREAMBLE.match(text),
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
