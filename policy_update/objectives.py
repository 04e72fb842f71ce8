"""What an answer is worth: the reward model's heads, and two objectives that hold meaning, one column each.

relevance: pointwise mutual information under the base model, (log p(answer | prompt) - log p(answer | no particular
prompt)) / tokens: an answer that would suit any prompt scores 0 however charming. coherence: log p(answer | prompt) /
tokens under the base: text the base would hardly write scores low. Both in nats a token; without them a dozen steps
turn answers into nonsense that scores well.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import structlog
import torch
from torch import Tensor

from infra.contracts import PlauditError
from infra.models.loading import LoadedModel
from policy_update.prompts import Conversation

log = structlog.get_logger(__name__)

RELEVANCE = "relevance"
COHERENCE = "coherence"
MEANING = (RELEVANCE, COHERENCE)
GENERIC_PROMPT = "Tell me something."
_LOGIT_CLIP = 1e-4
_LARGEST_LOGIT = math.log((1 - _LOGIT_CLIP) / _LOGIT_CLIP)
UNTRANSFORMED = frozenset({"utility", "harm"})
"""Heads used as they are: utility is real-valued, and the limit on harm is stated as a probability."""
COSTS = frozenset({"harm"})
"""Heads of which less is better: doubt raises them."""


class UnknownLimit(PlauditError):
    """A limit on something that nothing measures."""

    code = "unknown_limit"
    status = 400


class NoObjective(PlauditError):
    """Nothing that is weighted is measured."""

    code = "no_objective"
    status = 400


class Scorer(Protocol):
    """The part of a reward model that training needs: which heads it has, what it reads, and its scores."""

    @property
    def objectives(self) -> tuple[str, ...]: ...

    @property
    def recipe(self) -> Any: ...

    def score_hidden(self, pooled: Tensor) -> Any: ...

    def score(self, loaded: LoadedModel, prompts: Sequence[Conversation], answers: Sequence[str]) -> Any: ...


@dataclass(frozen=True)
class Rewards:
    """`values` (N, K), NaN where missing; `noise` (K,) the reward model's own mean standard error, same units.

    `base_logprobs` (N, T): log-probabilities of the tokens under the base at the training temperature, a by-product of
    scoring; the trainer's reference while the base is the champion. `features` (N,) each: what is worth logging but
    must not be a reward.
    """

    names: tuple[str, ...]
    values: Tensor
    noise: Tensor
    base_logprobs: Tensor | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)

    def column(self, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """One objective as numpy (N,)."""
        return self.values[:, self.names.index(name)].double().numpy()


def available_objectives(scorer: Scorer, weights: Mapping[str, float], terms: Collection[str] = ()) -> dict[str, float]:
    """The weighted objectives that can be computed: heads the reward model lacks are left out, zero weights too.
    `terms`: rewards beside the reward model's heads, by name. Raises NoObjective where nothing is left."""
    known = {*scorer.objectives, *MEANING, *terms}
    kept = {name: weight for name, weight in weights.items() if weight != 0 and name in known}
    missing = sorted(name for name, weight in weights.items() if weight != 0 and name not in known)
    if not kept:
        raise NoObjective(
            f"policy_update.objectives has no weight on anything that is measured (not measured: "
            f"{', '.join(missing) or 'nothing else named'}); there are {', '.join(sorted(known))}",
            field="policy_update.objectives",
        )
    if missing:
        log.info("objectives_left_out", names=missing, measured=sorted(known))
    return kept


def with_limits(
    weights: Mapping[str, float], limits: Collection[str], scorer: Scorer, terms: Collection[str]
) -> dict[str, float]:
    """The weights and, at weight 0, the objectives that are limited. Raises UnknownLimit for one that nothing measures:
    to train on without it would be to train without the limit."""
    known = {*scorer.objectives, *MEANING, *terms}
    unknown = sorted(set(limits) - known)
    if unknown:
        raise UnknownLimit(
            f"policy_update.limits names {unknown[0]!r}, which no head of the reward model and no reward measures; "
            f"there are {', '.join(sorted(known))}",
            field=f"policy_update.limits.{unknown[0]}",
        )
    return {**weights, **dict.fromkeys(limits, 0.0)}


def assemble(
    names: Sequence[str],
    scorer_names: Sequence[str],
    scores: np.ndarray[Any, Any],
    uncertainty: np.ndarray[Any, Any],
    given: Mapping[str, Tensor],
    *,
    penalty: float = 0.0,
    utility_bound: float = math.inf,
) -> Rewards:
    """Columns in the order of `names`: heads of the reward model by `head_reward`, what is `given` (N,) as it is, and
    without noise. `scores`, `uncertainty` (N, heads)."""
    columns, noises = [], []
    for name in names:
        if name in given:
            columns.append(given[name].double().cpu())
            noises.append(0.0)
            continue
        index = list(scorer_names).index(name)
        value, error = head_reward(name, scores[:, index], uncertainty[:, index], penalty, utility_bound)
        columns.append(torch.from_numpy(value))
        noises.append(float(np.nanmean(error)))
    return Rewards(tuple(names), torch.stack(columns, 1), torch.tensor(noises, dtype=torch.float64))


def head_reward(
    name: str,
    score: np.ndarray[Any, Any],
    uncertainty: np.ndarray[Any, Any],
    penalty: float = 0.0,
    utility_bound: float = math.inf,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """One head as a reward, and its standard error: mean - k spread, `penalty` = k; costs mean + k spread. (N,) each.

    Probabilities become log-odds (a head near 0 keeps its gradient), clipped to 9.2 either way, their error carried
    along by the delta method, e / (p (1 - p)); utility is bounded smoothly, b tanh(u / b); harm stays a probability.
    Pessimism under uncertainty keeps a policy where its reward model knows (arXiv 2312.09244).
    """
    value, error = np.asarray(score, np.float64), np.asarray(uncertainty, np.float64)
    if name not in UNTRANSFORMED:
        probability = value.clip(_LOGIT_CLIP, 1 - _LOGIT_CLIP)
        error = error / (probability * (1 - probability))
        value = np.log(probability) - np.log1p(-probability)
    value = value + penalty * error if name in COSTS else value - penalty * error
    if name == "utility":
        if math.isfinite(utility_bound):
            bent = np.tanh(value / utility_bound)
            value, error = utility_bound * bent, error * (1 - bent**2)
    elif name in COSTS:
        value = value.clip(0.0, 1.0)
    else:
        value = value.clip(-_LARGEST_LOGIT, _LARGEST_LOGIT)
    return value, error


def predicted_rates(
    rewards: Mapping[str, np.ndarray[Any, Any]], objectives: Sequence[str]
) -> dict[str, np.ndarray[Any, Any]]:
    """The probability heads among `objectives` as probabilities again, (N,) each: what `assemble` made log-odds of."""
    return {
        name: values if name in UNTRANSFORMED else 1.0 / (1.0 + np.exp(-values))
        for name, values in rewards.items()
        if name in objectives and name != "utility"
    }
