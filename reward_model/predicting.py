"""What a saved reward model says about the answers of a training set."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infra.models.loading import LoadedModel
from reward_model.data import TrainingSet
from reward_model.features import FeatureRecipe
from reward_model.held_out import Predictions
from reward_model.scoring import AnyRewardModel, RewardModel

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Read:
    """A training set as the backbone read it: features [N, D] by `recipe`, in the order of its answers."""

    data: TrainingSet
    loaded: LoadedModel
    recipe: FeatureRecipe
    features: Tensor
    batch_size: int


def predictions(model: AnyRewardModel, read: Read, rows: Ints) -> Predictions:
    """Scores of the answers `rows`; the others stay NaN. Raises BackboneMismatch for a model of another backbone.

    A frozen model with the same recipe takes the features that are there; another reads the texts anew.
    """
    if isinstance(model, RewardModel) and _reads(model, read):
        scores = model.score_hidden(read.features[torch.from_numpy(rows)])
    else:
        answers = [read.data.answers[row] for row in rows.tolist()]
        scores = model.score(read.loaded, [a.messages for a in answers], [a.text for a in answers], read.batch_size)
    values, spreads = {}, {}
    for k, name in enumerate(scores.objectives):
        values[name], spreads[name] = (np.full(len(read.data.answers), np.nan) for _ in range(2))
        values[name][rows], spreads[name][rows] = scores.values[:, k], scores.uncertainty[:, k]
    return Predictions(values, model.manifest.flip_rate, model.manifest.utility_scale, spreads)


def _reads(model: RewardModel, read: Read) -> bool:
    return model.recipe == read.recipe and model.manifest.base_model_hash == read.loaded.base_model_hash
