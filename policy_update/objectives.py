"""What an answer is worth: the reward model's heads, and two objectives that hold meaning, one column each.

relevance: pointwise mutual information under the base model, (log p(answer | prompt) - log p(answer | no particular
prompt)) / tokens: an answer that would suit any prompt scores 0 however charming. coherence: log p(answer | prompt) /
tokens under the base: text the base would hardly write scores low. Both in nats a token; without them a dozen steps
turn answers into nonsense that scores well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

RELEVANCE = "relevance"
COHERENCE = "coherence"
MEANING = (RELEVANCE, COHERENCE)
GENERIC_PROMPT = "Tell me something."
_LOGIT_CLIP = 1e-4
UNTRANSFORMED = frozenset({"utility", "harm"})
"""Heads used as they are: utility is real-valued, and the limit on harm is stated as a probability."""


class Scorer(Protocol):
    """The part of a reward model that training needs: which heads it has, what it reads, and its scores."""

    @property
    def objectives(self) -> tuple[str, ...]: ...

    @property
    def recipe(self) -> Any: ...

    def score_hidden(self, pooled: Tensor) -> Any: ...


@dataclass(frozen=True)
class Rewards:
    """`values` (N, K), NaN where missing; `noise` (K,) the reward model's own mean standard error, same units.

    `base_logprobs` (N, T): log-probabilities of the tokens under the base at the training temperature, a by-product of
    scoring; the trainer's reference while the base is the champion.
    """

    names: tuple[str, ...]
    values: Tensor
    noise: Tensor
    base_logprobs: Tensor | None = None

    def column(self, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """One objective as numpy (N,)."""
        return self.values[:, self.names.index(name)].double().numpy()


def available_objectives(scorer: Scorer, weights: Mapping[str, float]) -> dict[str, float]:
    """The weighted objectives that can be computed: heads the reward model lacks are left out, zero weights too."""
    return {
        name: weight
        for name, weight in weights.items()
        if weight != 0 and (name in MEANING or name in scorer.objectives)
    }


def assemble(
    names: Sequence[str],
    scorer_names: Sequence[str],
    scores: np.ndarray[Any, Any],
    uncertainty: np.ndarray[Any, Any],
    meaning: Mapping[str, Tensor],
) -> Rewards:
    """Columns in the order of `names`. Probabilities become log-odds (a head near 0 keeps its gradient), their standard
    error is carried along by the delta method; `utility` is real-valued already. `scores`, `uncertainty` (N, heads)."""
    columns, noises = [], []
    for name in names:
        if name in meaning:
            columns.append(meaning[name].double().cpu())
            noises.append(0.0)
            continue
        index = list(scorer_names).index(name)
        value, error = torch.from_numpy(scores[:, index]).double(), uncertainty[:, index]
        if name not in UNTRANSFORMED:
            probability = value.clamp(_LOGIT_CLIP, 1 - _LOGIT_CLIP)
            error = error / (probability * (1 - probability)).numpy()
            value = probability.logit()
        columns.append(value)
        noises.append(float(np.nanmean(error)))
    return Rewards(tuple(names), torch.stack(columns, 1), torch.tensor(noises, dtype=torch.float64))


def predicted_rates(
    rewards: Mapping[str, np.ndarray[Any, Any]], objectives: Sequence[str]
) -> dict[str, np.ndarray[Any, Any]]:
    """The probability heads among `objectives` as probabilities again, (N,) each: what `assemble` made log-odds of."""
    return {
        name: values if name in UNTRANSFORMED else 1.0 / (1.0 + np.exp(-values))
        for name, values in rewards.items()
        if name in objectives and name != "utility"
    }
