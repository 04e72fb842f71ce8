"""The part of a training that needs the backbone: features, heads, halves, manifest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from torch import Tensor

from infra.models.loading import LoadedModel, load_base
from infra.settings import Settings, config_hash
from reward_model.crossfit import document, train_halves
from reward_model.data import TrainingSet
from reward_model.encoders import load_encoder
from reward_model.feature_cache import FeatureCache
from reward_model.features import FeatureRecipe, cached_features
from reward_model.files import HalfHeads, Manifest
from reward_model.training import TrainedHeads, train_heads

Progress = Callable[[float, str], None]

_FEATURES_SHARE, _FITTED_SHARE = 0.7, 0.85
"""Where on the progress bar features end, and heads."""


def recipe_of(settings: Settings, loaded: LoadedModel) -> FeatureRecipe:
    """The features these settings ask for; layers that a shallow model lacks become its last one."""
    wanted = settings.reward_model
    depth = int(loaded.model.config.num_hidden_layers)
    layers = dict.fromkeys(max(min(layer, depth), -depth - 1) for layer in wanted.layers)
    encoder = load_encoder(wanted.encoder, loaded.device).identity if wanted.encoder else ""
    return FeatureRecipe(
        tuple(layers), wanted.max_prompt_tokens, wanted.max_answer_tokens, wanted.opening_tokens, encoder
    )


def cache_of(settings: Settings, recipe: FeatureRecipe, loaded: LoadedModel) -> FeatureCache | None:
    """The cache of the data folder for this recipe and backbone; None when settings say so."""
    if not settings.reward_model.cache_features:
        return None
    folder = settings.data_dir / "feature_cache" / recipe.cache_name(loaded)
    return FeatureCache(folder, settings.reward_model.cache_bytes)


@dataclass(frozen=True)
class Fitted:
    """A training's result before it is saved: the backbone, features [N, D] of every answer, the heads, and those of
    the two halves of the people or why there are none."""

    loaded: LoadedModel
    features: Tensor
    heads: TrainedHeads
    halves: tuple[TrainedHeads, TrainedHeads] | str

    @property
    def report(self) -> dict[str, Any]:
        """The training's report so far, to be added to."""
        return self.heads.report

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All that goes into one file."""
        found = dict(self.heads.tensors)
        for half, heads in enumerate(self.halves if not isinstance(self.halves, str) else ()):
            found |= {f"half{half}.{name}": heads.tensors[name] for name in ("weights", "intercepts")}
        return found


def read_features(
    settings: Settings,
    loaded: LoadedModel,
    data: TrainingSet,
    progress: Progress = lambda _fraction, _text: None,
    should_stop: Callable[[], bool] = lambda: False,
    recipe: FeatureRecipe | None = None,
) -> Tensor:
    """Features [N, D], N >= 1, of every answer of `data`, from the cache where they are known, by the settings' recipe
    unless another is given. Raises TrainingStopped."""
    recipe = recipe or recipe_of(settings, loaded)
    return cached_features(
        loaded,
        recipe,
        [answer.messages for answer in data.answers],
        [answer.text for answer in data.answers],
        [answer.content_key for answer in data.answers],
        cache=cache_of(settings, recipe, loaded),
        batch_size=settings.reward_model.batch_size,
        progress=progress,
        should_stop=should_stop,
    )


def fit_on_backbone(
    settings: Settings, data: TrainingSet, progress: Progress, should_stop: Callable[[], bool]
) -> Fitted:
    """Load the base model, read the features of every answer, fit the heads and those of halves of the people.

    Raises TrainingStopped."""
    progress(0.0, "loading the base model")
    loaded = load_base(settings)
    features = read_features(
        settings, loaded, data, lambda share, text: progress(_FEATURES_SHARE * share, text), should_stop
    )
    heads_share = _FITTED_SHARE - _FEATURES_SHARE
    heads = train_heads(
        data,
        features,
        settings.reward_model,
        lambda share, text: progress(_FEATURES_SHARE + heads_share * share, text),
    )
    progress(_FITTED_SHARE, "two models on halves of the people")
    two = train_halves(data, features, settings.reward_model, heads)
    heads.report["cross_fit"] = document(two)
    return Fitted(loaded, features, heads, two)


def manifest_of(settings: Settings, data: TrainingSet, fitted: Fitted, version: int, created_at: float) -> Manifest:
    """What is saved beside the heads."""
    recipe, heads, loaded = recipe_of(settings, fitted.loaded), fitted.heads, fitted.loaded
    halves = () if isinstance(fitted.halves, str) else fitted.halves
    return Manifest(
        name=settings.reward_model.name,
        version=version,
        objectives=heads.objectives,
        base_model_hash=loaded.base_model_hash,
        tokenizer_hash=loaded.tokenizer_hash,
        template_hash=loaded.template_hash,
        layers=recipe.layers,
        max_prompt_tokens=recipe.max_prompt_tokens,
        max_answer_tokens=recipe.max_answer_tokens,
        opening_tokens=recipe.opening_tokens,
        encoder=recipe.encoder,
        calibration=_documents(heads),
        flip_rate=heads.flip_rate,
        halves=tuple(HalfHeads(calibration=_documents(half), flip_rate=half.flip_rate) for half in halves),
        created_at=created_at,
        config_hash=config_hash(settings),
        report=heads.report,
        card=data.card,
    )


def _documents(heads: TrainedHeads) -> dict[str, object]:
    return {name: msgspec.to_builtins(calibration) for name, calibration in heads.calibration.items()}
