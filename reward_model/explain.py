"""Why an answer is worth what the reward model says: label, contributions, length, neighbours, another version."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import RowMapping
from torch import Tensor

from infra.contracts import PlauditError
from infra.models.loading import load_base
from infra.runtime import Context
from reward_model.data import AnswerRow, Key, TrainingSet
from reward_model.features import answer_features
from reward_model.judging import ref_of, standing_of
from reward_model.pipeline import read_features, recipe_of
from reward_model.repository import RewardModelRepository
from reward_model.scoring import AnyRewardModel, RewardModel, open_reward_model
from reward_model.service import load_training_set
from reward_model.subspace import Standardizer
from reward_model.versions_repository import VersionRepository

Array = NDArray[np.float64]

_NEIGHBOURS = 5
_NEWEST = 256
"""Labelled answers that a fine-tuned model scores to explain one: it has no features that are kept."""
_POOLS = ("mean", "last token", "opening")


class UnknownAnswer(PlauditError):
    """Nobody was given an answer of that name."""

    code = "unknown_answer"
    status = 404


class NoRewardModel(PlauditError):
    """There is no version to ask."""

    code = "no_reward_model"
    status = 404


@dataclass(frozen=True)
class HeadExplained:
    """One objective. `value` and `spread` of the version asked; `label` what people's feedback came to (None without);
    `logit` the head before calibration: the sum of `parts`, by where in the backbone they are read, of which `length`
    is what the answer's length alone would explain; `other` the value by the other version, if it has the head."""

    name: str
    value: float
    spread: float
    label: float | None
    logit: float
    length: float
    parts: dict[str, float]
    other: float | None


@dataclass(frozen=True)
class Neighbour:
    """A labelled answer that looks alike to the backbone: cosine `similarity` of standardised features."""

    answer: str
    similarity: float
    text: str
    labels: dict[str, float]


@dataclass(frozen=True)
class Explained:
    """Why an answer is worth what the version `ref` (champion, or the newest before there is one) says; `other` is the
    newest version beside it."""

    answer: str
    text: str
    ref: str
    state: str
    other: str | None
    label_status: str | None
    heads: tuple[HeadExplained, ...]
    neighbours: tuple[Neighbour, ...]

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True)
class _Asked:
    """The answer and its label, with the labelled answers. `features` [1, D] and `everything` [N, D]: standardised, of
    the answer and of the labelled ones, as the version reads them (a fine-tuned one: as the frozen base does);
    `logits` [1, K] and `known` [M, K]: what its heads say before calibration of the answer and of the `M` newest."""

    answer: AnswerRow
    label: dict[str, Any] | None
    features: Tensor
    data: TrainingSet
    everything: Tensor
    logits: Array
    known: Array

    @property
    def log_length(self) -> float:
        return float(np.log1p(len(self.answer.text)))


def explain(context: Context, response_id: str, choice: int = 0) -> Explained:
    """Explain one answer by the champion (or, before there is one, the newest version), beside the newest other one.

    Raises UnknownAnswer, NoRewardModel, DamagedRewardModel, BackboneMismatch.
    """
    standing = standing_of(context)
    row = standing.champion or standing.newest
    if row is None:
        raise NoRewardModel("no reward model has been trained yet: `plaudit reward-model train` says what is missing")
    answer, label = _answer_and_label(context, (response_id, choice))
    loaded, other = load_base(context.settings), _other(context, row)
    model = open_reward_model(row["path"], loaded)
    scores = model.score(loaded, [answer.messages], [answer.text])
    asked = _asked(context, model, loaded, answer, label)
    beside = (
        None
        if other is None
        else open_reward_model(other["path"], loaded).score(loaded, [answer.messages], [answer.text])
    )
    theirs = {} if beside is None else dict(zip(beside.objectives, beside.values[0].tolist(), strict=True))
    return Explained(
        answer=f"{response_id}#{choice}",
        text=answer.text,
        ref=ref_of(row),
        state=str(row["state"]),
        other=None if other is None else ref_of(other),
        label_status=None if label is None else str(label["status"]),
        heads=tuple(
            _head(model, asked, k, float(scores.values[0, k]), float(scores.uncertainty[0, k]), theirs.get(name))
            for k, name in enumerate(model.objectives)
        ),
        neighbours=_neighbours(asked),
    )


def _asked(
    context: Context, model: AnyRewardModel, loaded: Any, answer: AnswerRow, label: dict[str, Any] | None
) -> _Asked:
    settings = context.settings
    data = load_training_set(context, context.clock.now())
    recipe = model.recipe if isinstance(model, RewardModel) else recipe_of(settings, loaded)
    own = answer_features(loaded, recipe, [answer.messages], [answer.text], 1)
    others = read_features(settings, loaded, data, recipe=recipe) if data.answers else own[:0]
    if isinstance(model, RewardModel):
        space = model.standardizer
        own, others = space.apply(own), space.apply(others)
        logits, known = (
            (features @ model.weights[:, 0].T + model.intercepts[:, 0]).double().numpy() for features in (own, others)
        )
    else:
        space = Standardizer.of(others if len(others) > 1 else own)
        own, others = space.apply(own), space.apply(others)
        newest = data.answers[-_NEWEST:]
        logits = model.raw([answer.messages], [answer.text])[:, :, 0]
        known = model.raw([one.messages for one in newest], [one.text for one in newest])[:, :, 0]
    return _Asked(answer, label, own, data, others, logits, known)


def _head(
    model: AnyRewardModel, asked: _Asked, k: int, value: float, spread: float, other: float | None
) -> HeadExplained:
    name = model.objectives[k]
    parts = _parts(model, asked, k)
    return HeadExplained(
        name=name,
        value=value,
        spread=spread,
        label=None if asked.label is None else asked.label["objective_values"].get(name),
        logit=sum(parts.values()),
        length=_length_share(asked, k),
        parts=parts,
        other=other,
    )


def _parts(model: AnyRewardModel, asked: _Asked, k: int) -> dict[str, float]:
    """What adds up to the logit of head k. Of a frozen model: an average answer, and each block of the standardised
    features; of a fine-tuned one: the mean over the labelled answers, and how far this one is from it."""
    if not isinstance(model, RewardModel):
        mean = float(asked.known[:, k].mean()) if len(asked.known) else 0.0
        return {"average answer": mean, "this answer": float(asked.logits[0, k]) - mean}
    added = (asked.features[0] * model.weights[k, 0]).double()
    recipe = model.recipe
    pools = _POOLS[: 3 if recipe.opening_tokens else 2]
    blocks = torch.tensor_split(added, len(recipe.layers) * len(pools))
    names = [f"layer {layer}, {pool}" for layer in recipe.layers for pool in pools]
    parts = {name: float(block.sum()) for name, block in zip(names, blocks, strict=True)}
    return {"average answer": float(model.intercepts[k, 0])} | parts


def _length_share(asked: _Asked, k: int) -> float:
    """beta (log length - mean log length), beta the slope of the logit on log length over the labelled answers."""
    logits = asked.known[:, k]
    logs = np.log1p([len(one.text) for one in asked.data.answers[len(asked.data.answers) - len(logits) :]])
    if len(logs) < 3 or np.ptp(logs) == 0.0:
        return 0.0
    centred = logs - logs.mean()
    slope = float(centred @ (logits - logits.mean()) / (centred @ centred))
    return slope * (asked.log_length - float(logs.mean()))


def _neighbours(asked: _Asked) -> tuple[Neighbour, ...]:
    labelled = [
        row
        for row, one in enumerate(asked.data.answers)
        if one.key != asked.answer.key and not np.isnan(asked.data.targets[row]).all()
    ]
    if not labelled:
        return ()
    near = torch.nn.functional.cosine_similarity(asked.everything[labelled], asked.features)
    return tuple(
        _neighbour(asked.data, labelled[place], float(near[place]))
        for place in near.argsort(descending=True)[:_NEIGHBOURS].tolist()
    )


def _neighbour(data: TrainingSet, row: int, similarity: float) -> Neighbour:
    answer = data.answers[row]
    told = zip(data.objectives, data.targets[row].tolist(), strict=True)
    labels = {name: value for name, value in told if not np.isnan(value)}
    return Neighbour(f"{answer.response_id}#{answer.choice}", similarity, answer.text, labels)


def _answer_and_label(context: Context, key: Key) -> tuple[AnswerRow, dict[str, Any] | None]:
    with context.database.reading() as connection:
        found = RewardModelRepository(connection, context.settings.project).answers({key})
        label = VersionRepository(connection, context.settings.project).newest_label(*key)
    if not found:
        raise UnknownAnswer(
            f"no answer {key[0]}#{key[1]} is in the store: it never arrived, or was erased or expired; give the id of "
            "a response of this project, and --choice where it has several answers",
            field="response_id",
        )
    return found[0], label


def _other(context: Context, row: RowMapping) -> RowMapping | None:
    """The newest version but this one."""
    with context.database.reading() as connection:
        versions = VersionRepository(connection, context.settings.project).all_versions(row["name"])
    return next((one for one in reversed(versions) if one["version"] != row["version"]), None)
