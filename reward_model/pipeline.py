"""The part of a training that needs the backbone: features, heads, manifest."""

from collections.abc import Callable

from infra.models.loading import LoadedModel, load_base
from infra.settings import Settings, config_hash
from reward_model.data import TrainingSet
from reward_model.feature_cache import FeatureCache
from reward_model.features import FeatureRecipe, cached_features
from reward_model.files import Manifest
from reward_model.training import TrainedHeads, train_heads

Progress = Callable[[float, str], None]

_FEATURES_SHARE = 0.8
"""Share of the progress bar that features take."""


def recipe_of(settings: Settings, loaded: LoadedModel) -> FeatureRecipe:
    """The features these settings ask for; layers that a shallow model lacks become its last one."""
    wanted = settings.reward_model
    depth = int(loaded.model.config.num_hidden_layers)
    layers = dict.fromkeys(max(min(layer, depth), -depth - 1) for layer in wanted.layers)
    return FeatureRecipe(tuple(layers), wanted.max_prompt_tokens, wanted.max_answer_tokens, wanted.opening_tokens)


def cache_of(settings: Settings, recipe: FeatureRecipe, loaded: LoadedModel) -> FeatureCache | None:
    """The cache of the data folder for this recipe and backbone; None when settings say so."""
    if not settings.reward_model.cache_features:
        return None
    folder = settings.data_dir / "feature_cache" / recipe.cache_name(loaded)
    return FeatureCache(folder, settings.reward_model.cache_bytes)


def fit_on_backbone(
    settings: Settings, data: TrainingSet, progress: Progress, should_stop: Callable[[], bool]
) -> tuple[LoadedModel, TrainedHeads]:
    """Load the base model, read the features of every answer, fit the heads. Raises TrainingStopped."""
    progress(0.0, "loading the base model")
    loaded = load_base(settings)
    recipe = recipe_of(settings, loaded)
    features = cached_features(
        loaded,
        recipe,
        [answer.messages for answer in data.answers],
        [answer.text for answer in data.answers],
        [answer.content_key for answer in data.answers],
        cache=cache_of(settings, recipe, loaded),
        batch_size=settings.reward_model.batch_size,
        progress=lambda share, text: progress(_FEATURES_SHARE * share, text),
        should_stop=should_stop,
    )
    heads_share = 0.95 - _FEATURES_SHARE
    trained = train_heads(
        data,
        features,
        settings.reward_model,
        lambda share, text: progress(_FEATURES_SHARE + heads_share * share, text),
    )
    return loaded, trained


def manifest_of(
    settings: Settings,
    data: TrainingSet,
    loaded: LoadedModel,
    trained: TrainedHeads,
    version: int,
    created_at: float,
) -> Manifest:
    """What is saved beside the heads."""
    recipe = recipe_of(settings, loaded)
    return Manifest(
        name=settings.reward_model.name,
        version=version,
        objectives=trained.objectives,
        base_model_hash=loaded.base_model_hash,
        tokenizer_hash=loaded.tokenizer_hash,
        template_hash=loaded.template_hash,
        layers=recipe.layers,
        max_prompt_tokens=recipe.max_prompt_tokens,
        max_answer_tokens=recipe.max_answer_tokens,
        opening_tokens=recipe.opening_tokens,
        calibration=trained.calibration,
        created_at=created_at,
        config_hash=config_hash(settings),
        report=trained.report,
        card=data.card,
    )
