"""A trained reward model: answers in, one vector of rewards an answer out, each with its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infra.contracts import Message
from infra.models.loading import LoadedModel
from reward_model.features import FeatureRecipe, answer_features
from reward_model.files import Manifest, read_folder
from reward_model.finetuning.saved import MANIFEST_FILE as FINETUNED_MANIFEST
from reward_model.finetuning.saved import FinetunedRewardModel
from reward_model.score_cache import ScoreCache, score_key
from reward_model.scores import UTILITY, BackboneMismatch, FeaturesMismatch, NoHalves, Scores
from reward_model.subspace import Standardizer

__all__ = [
    "UTILITY",
    "AnyRewardModel",
    "BackboneMismatch",
    "FeaturesMismatch",
    "NoHalves",
    "RewardModel",
    "Scores",
    "open_reward_model",
]


@dataclass(frozen=True)
class RewardModel:
    """Linear heads on standardised features of a frozen backbone.

    weights [K, 1 + E, D] and intercepts [K, 1 + E], float32: head k fitted on everything, then its E bootstrap refits.
    """

    manifest: Manifest
    standardizer: Standardizer
    weights: Tensor
    intercepts: Tensor
    half_heads: tuple[tuple[Tensor, Tensor], ...] = ()
    cache: ScoreCache = field(default_factory=ScoreCache, compare=False, repr=False)

    @classmethod
    def load(cls, path: str | Path) -> "RewardModel":
        """Read a folder written by training, after checking its hashes. Raises DamagedRewardModel, and FeaturesMismatch
        for a fine-tuned model, which is opened with its base: `open_reward_model`."""
        if (Path(path) / FINETUNED_MANIFEST).is_file():
            raise FeaturesMismatch(
                f"{path} holds a fine-tuned reward model, which does not read the frozen base's hidden states: open it "
                'with `open_reward_model` and score texts, or train with reward_model.backbone_mode = "frozen"',
                field="reward_model.backbone_mode",
            )
        manifest, tensors = read_folder(Path(path))
        standardizer = Standardizer(tensors["mean"], tensors["spread"])
        halves = tuple(
            (tensors[f"half{half}.weights"], tensors[f"half{half}.intercepts"]) for half in range(len(manifest.halves))
        )
        return cls(manifest, standardizer, tensors["weights"], tensors["intercepts"], halves)

    @property
    def objectives(self) -> tuple[str, ...]:
        """Heads that exist, in the order of the columns of scores; `utility` last, if there were enough pairs."""
        return tuple(self.manifest.objectives)

    @property
    def recipe(self) -> FeatureRecipe:
        return FeatureRecipe(
            tuple(self.manifest.layers),
            self.manifest.max_prompt_tokens,
            self.manifest.max_answer_tokens,
            self.manifest.opening_tokens,
            self.manifest.encoder,
        )

    def score(
        self,
        loaded: LoadedModel,
        prompts: Sequence[Sequence[Message]],
        answers: Sequence[str],
        batch_size: int = 16,
    ) -> Scores:
        """Rewards of N answers to N prompts (the messages before the answer). Raises BackboneMismatch.

        Nothing is padded, answers to one prompt share its computation, and an answer that this model has scored before
        is not computed again. A forward pass has about 128 `batch_size` tokens.
        """
        if loaded.base_model_hash != self.manifest.base_model_hash:
            raise BackboneMismatch.between(self.manifest.base_model_hash, loaded.base_model_hash)
        keys = [
            score_key(str(loaded.dtype), messages, answer) for messages, answer in zip(prompts, answers, strict=True)
        ]

        def compute(rows: list[int]) -> NDArray[np.float64]:
            asked, given = [prompts[i] for i in rows], [answers[i] for i in rows]
            scores = self.score_hidden(answer_features(loaded, self.recipe, asked, given, batch_size))
            return np.stack([scores.values, scores.uncertainty], 2)

        stacked = self.cache.fill(keys, compute, (len(self.objectives), 2))
        return Scores(self.objectives, values=stacked[:, :, 0], uncertainty=stacked[:, :, 1])

    def score_hidden(self, pooled: Tensor) -> Scores:
        """Rewards from features [B, D] pooled already, as `pooled_hidden_states(..., recipe.layers,
        opening=recipe.opening_tokens)` of the frozen backbone gives them."""
        width = self.standardizer.mean.shape[0]
        if pooled.shape[1] != width:
            source = self.manifest.encoder or "the hidden states its manifest names"
            raise FeaturesMismatch(
                f"features have {pooled.shape[1]} columns, this reward model reads {width} from {source}: give it "
                "those, or let `score` make them",
                field="reward_model.encoder",
            )
        x = self.standardizer.apply(pooled.detach().cpu())
        logits = torch.einsum("bd,ked->bke", x, self.weights) + self.intercepts
        raw = logits.double().numpy()
        columns = [self._column(name, raw[:, k]) for k, name in enumerate(self.objectives)]
        stacked = np.stack(columns, 1) if columns else np.zeros((len(raw), 0, 2))
        return Scores(self.objectives, values=stacked[:, :, 0], uncertainty=stacked[:, :, 1])

    def _column(self, name: str, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """[B, 2]: value and uncertainty, from the logits [B, 1 + E] of one head."""
        if name != UTILITY:
            logits = self.manifest.calibration_of(name).apply(logits)
        return np.stack([logits[:, 0], logits[:, 1:].std(1)], 1)

    def contrast(self, name: str) -> float:
        """By how much differences between answers to one question exceed those of the scores of head `name`."""
        return 1.0 if name == UTILITY else self.manifest.calibration_of(name).contrast

    @property
    def has_halves(self) -> bool:
        """Whether models of two disjoint halves of the people are held beside the full one."""
        return len(self.half_heads) == 2

    def half(self, half: int) -> "RewardModel":
        """The model that learned from one half of the people alone (0 or 1), used as any other. Raises NoHalves."""
        if not self.has_halves or half not in (0, 1):
            raise NoHalves(
                f"{self.manifest.name}@{self.manifest.version} holds no model of half {half} of the people: there were "
                "too few labels for two (reward_model.cross_fit_min_labels)",
                field="half",
            )
        own = self.manifest.halves[half]
        manifest = msgspec.structs.replace(
            self.manifest,
            calibration=own.calibration,
            flip_rate=own.flip_rate,
            utility_scale=own.utility_scale,
            halves=(),
        )
        weights, intercepts = self.half_heads[half]
        return replace(
            self, manifest=manifest, weights=weights, intercepts=intercepts, half_heads=(), cache=ScoreCache()
        )


AnyRewardModel = RewardModel | FinetunedRewardModel
"""Both score texts alike; only the first reads hidden states."""


def open_reward_model(path: str | Path, loaded: LoadedModel) -> AnyRewardModel:
    """Whatever kind of reward model a folder holds; both score alike. Raises DamagedRewardModel, and for a fine-tuned
    one BackboneMismatch."""
    if (Path(path) / FINETUNED_MANIFEST).is_file():
        return FinetunedRewardModel.load(path, loaded)
    return RewardModel.load(path)
