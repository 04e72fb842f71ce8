"""A fine-tuned reward model on disk and in use: adapter, heads, and a manifest with the hash of every file."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from infra.contracts import Message
from infra.models.hashes import hash_folder
from infra.models.loading import LoadedModel
from infra.models.lora import load_trainable, save_adapter
from infra.models.packing import prompt_groups
from reward_model.calibration import Calibration, calibration_of
from reward_model.features import FeatureRecipe
from reward_model.files import DamagedRewardModel, draft_of
from reward_model.finetuning.examples import encode_closed
from reward_model.finetuning.model import ScoreHeads, Scorer, ready, sharing_copy
from reward_model.finetuning.training import UTILITY, Finetuned
from reward_model.score_cache import Floats, ScoreCache, score_key
from reward_model.scores import BackboneMismatch, FeaturesMismatch, NoHalves, Scores

MANIFEST_FILE = "finetuned_reward_model.json"
HEADS_FILE = "heads.safetensors"
ADAPTER_FOLDER = "adapter"
HALF_FOLDERS = ("half0", "half1")
"""Inside a version's folder: the models of the two halves of the people, each a folder like it."""
FORMAT = 1


class FinetunedManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a fine-tuned reward model is. `objectives`: its heads, `utility` last if there is one; `calibration[head]`
    a Calibration's document for each of the others; a utility is `utility_gain` times its head's score, less
    `utility_offset`; `utility_scale` and `flip_rate` as in `reward_model.files.Manifest`, like `report` and `card`;
    `files`: SHA-256 by name."""

    name: str
    version: int
    objectives: tuple[str, ...]
    base_model_hash: str
    tokenizer_hash: str
    template_hash: str
    max_prompt_tokens: int
    max_answer_tokens: int
    calibration: dict[str, Any] = msgspec.field(default_factory=dict)
    utility_gain: float = 1.0
    utility_scale: float = 1.0
    utility_offset: float = 0.0
    flip_rate: float = 0.0
    files: dict[str, str] = msgspec.field(default_factory=dict)
    created_at: float = 0.0
    config_hash: str = ""
    report: dict[str, Any] = msgspec.field(default_factory=dict)
    card: dict[str, Any] = msgspec.field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True)
class FinetunedRewardModel:
    """Scores as `reward_model.scoring.RewardModel` does, from a backbone of its own: `score_hidden` has no meaning.

    `cache` holds what the heads say of an answer before calibration and scale: it stays true while the weights do.
    `halves`: two models of disjoint halves of the people, adapters and heads of their own on the same base, or none.
    """

    manifest: FinetunedManifest
    scorer: Scorer
    cache: ScoreCache
    halves: tuple["FinetunedRewardModel", ...] = ()

    @classmethod
    def of(
        cls, trained: Finetuned, recipe: FeatureRecipe, *, name: str = "reward", version: int = 0
    ) -> "FinetunedRewardModel":
        """What `train_lora_reward_model` returned, without calibration or offset."""
        base = trained.scorer.base
        manifest = FinetunedManifest(
            name=name,
            version=version,
            objectives=trained.columns,
            base_model_hash=base.base_model_hash,
            tokenizer_hash=base.tokenizer_hash,
            template_hash=base.template_hash,
            max_prompt_tokens=recipe.max_prompt_tokens,
            max_answer_tokens=recipe.max_answer_tokens,
        )
        return cls(manifest, trained.scorer, ScoreCache())

    @classmethod
    def load(cls, path: str | Path, loaded: LoadedModel) -> "FinetunedRewardModel":
        """Read a folder written by `save`, with its halves, after checking its hashes; the base stays as it is. Raises
        DamagedRewardModel, BackboneMismatch."""
        folder = Path(path)
        manifest = _read_manifest(folder)
        if manifest.base_model_hash != loaded.base_model_hash:
            raise BackboneMismatch.between(manifest.base_model_hash, loaded.base_model_hash)
        peft = load_trainable(sharing_copy(loaded), folder / ADAPTER_FOLDER, trainable=False)
        tensors = load_file(folder / HEADS_FILE)
        columns, width, hidden = tensors["weight"].shape
        heads = ScoreHeads(columns, width - 1, hidden, 0)
        heads.load_state_dict(tensors)
        scorer = Scorer(loaded, ready(peft, loaded.dtype), heads.to(loaded.device))
        halves = [cls.load(folder / name, loaded) for name in HALF_FOLDERS if (folder / name).is_dir()]
        return cls(manifest, scorer, ScoreCache(), tuple(halves))

    def save(self, folder: Path) -> dict[str, str]:
        """Write the model so that it appears whole or not at all; SHA-256 by name. What stood there is replaced."""
        self.write_draft(draft_of(folder))
        return publish(folder, self.manifest)

    def write_draft(self, draft: Path) -> None:
        """Write weights, halves and manifest into a new folder `draft`, from which the model can be loaded."""
        shutil.rmtree(draft, ignore_errors=True)
        save_adapter(self.scorer.peft, self.scorer.base, draft / ADAPTER_FOLDER)
        heads = {name: tensor.detach().cpu() for name, tensor in self.scorer.heads.state_dict().items()}
        save_file(heads, draft / HEADS_FILE)
        for name, half in zip(HALF_FOLDERS, self.halves, strict=False):
            half.write_draft(draft / name)
        seal(draft, self.manifest)

    @property
    def objectives(self) -> tuple[str, ...]:
        """Columns of scores."""
        return self.manifest.objectives

    @property
    def recipe(self) -> FeatureRecipe:
        """How prompts and answers are cut; it reads no layers."""
        return FeatureRecipe((), self.manifest.max_prompt_tokens, self.manifest.max_answer_tokens)

    def calibrated(
        self, calibration: Mapping[str, Calibration], utility_offset: float = 0.0, utility_gain: float = 1.0
    ) -> "FinetunedRewardModel":
        """The same model with calibrations of its probability heads, and unit and level of its utility."""
        documents = {name: msgspec.to_builtins(value) for name, value in calibration.items()}
        return self.told(calibration=documents, utility_offset=utility_offset, utility_gain=utility_gain)

    def told(self, **fields: Any) -> "FinetunedRewardModel":
        """The same weights and cache under a manifest with other `fields`."""
        return replace(self, manifest=msgspec.structs.replace(self.manifest, **fields))

    @property
    def has_halves(self) -> bool:
        """Whether models of two disjoint halves of the people are held beside the full one."""
        return len(self.halves) == len(HALF_FOLDERS)

    def half(self, half: int) -> "FinetunedRewardModel":
        """As `RewardModel.half`. Raises NoHalves."""
        if not self.has_halves or half not in (0, 1):
            raise NoHalves(
                f"{self.manifest.name}@{self.manifest.version} holds no model of half {half} of the people: there were "
                "too few labels for two (reward_model.cross_fit_min_labels)",
                field="half",
            )
        return self.halves[half]

    def score_hidden(self, pooled: torch.Tensor) -> Scores:
        """As `RewardModel.score_hidden`, which reads the frozen base's states. Raises FeaturesMismatch."""
        raise FeaturesMismatch(
            f"{self.manifest.name}@{self.manifest.version} is fine-tuned: it makes hidden states of its own and cannot "
            'read those of the base; score texts with `score`, or train with reward_model.backbone_mode = "frozen"',
            field="reward_model.backbone_mode",
        )

    def logits(
        self, prompts: Sequence[Sequence[Message]], answers: Sequence[str], batch_size: int = 16
    ) -> torch.Tensor:
        """Raw scores [N, K, 1 + E], float32: what calibrations are fitted on. Prompts are computed once."""
        recipe, base = self.recipe, self.scorer.base
        encoded = [encode_closed(base, recipe, m, a) for m, a in zip(prompts, answers, strict=True)]
        sequences = [ids for ids, _ in encoded]
        groups = prompt_groups(sequences, [start for _, start in encoded], 128 * batch_size)
        found = self.scorer.score_groups([[sequences[i] for i in group] for group in groups], 128 * batch_size)
        order = torch.tensor([i for group in groups for i in group], dtype=torch.long)
        return torch.empty_like(found).index_copy_(0, order, found)

    def score(
        self,
        loaded: LoadedModel,
        prompts: Sequence[Sequence[Message]],
        answers: Sequence[str],
        batch_size: int = 16,
    ) -> Scores:
        """Rewards of N answers to N prompts; what was scored before is not computed again. Raises BackboneMismatch."""
        if loaded.base_model_hash != self.manifest.base_model_hash:
            raise BackboneMismatch.between(self.manifest.base_model_hash, loaded.base_model_hash)
        raw = self.raw(prompts, answers, batch_size)
        stacked = np.stack([self._column(name, raw[:, k]) for k, name in enumerate(self.objectives)], 1)
        return Scores(self.objectives, values=stacked[:, :, 0], uncertainty=stacked[:, :, 1])

    def raw(self, prompts: Sequence[Sequence[Message]], answers: Sequence[str], batch_size: int = 16) -> Floats:
        """`logits` [N, K, 1 + E] as float64, each content computed once."""
        keys = [
            score_key(str(self.scorer.base.dtype), messages, answer)
            for messages, answer in zip(prompts, answers, strict=True)
        ]

        def compute(rows: list[int]) -> Floats:
            asked, given = [prompts[i] for i in rows], [answers[i] for i in rows]
            return np.asarray(self.logits(asked, given, batch_size).double().numpy())

        return self.cache.fill(keys, compute, tuple(self.scorer.heads.bias.shape))

    def contrast(self, name: str) -> float:
        """As `RewardModel.contrast`."""
        return self._calibration(name).contrast

    def _calibration(self, name: str) -> Calibration:
        document = self.manifest.calibration.get(name)
        return calibration_of(document) if document is not None else Calibration()

    def _column(self, name: str, raw: Floats) -> Floats:
        """[B, 2]: value of the first head, spread of the ensemble."""
        if name == UTILITY:
            values = self.manifest.utility_gain * raw - self.manifest.utility_offset
        else:
            values = self._calibration(name).apply(raw)
        spread = values[:, 1:].std(1) if values.shape[1] > 1 else np.zeros(len(values))
        return np.stack([values[:, 0], spread], 1)


def publish(folder: Path, manifest: FinetunedManifest) -> dict[str, str]:
    """Seal the draft of `folder` under `manifest` and put it in place, with whatever else it holds; SHA-256 by name."""
    draft = draft_of(folder)
    seal(draft, manifest)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(draft, folder)
    return hash_folder(folder)


def seal(draft: Path, manifest: FinetunedManifest) -> None:
    """Write the manifest with the hashes of all other files."""
    files = {name: value for name, value in hash_folder(draft).items() if name != MANIFEST_FILE}
    sealed = msgspec.structs.replace(manifest, files=files)
    (draft / MANIFEST_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(sealed), indent=2))


def _read_manifest(folder: Path) -> FinetunedManifest:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST_FILE).read_bytes(), type=FinetunedManifest)
        actual = {name: value for name, value in hash_folder(folder).items() if name != MANIFEST_FILE}
    except (OSError, msgspec.DecodeError) as error:
        raise DamagedRewardModel(
            f"no fine-tuned reward model can be read from {folder} ({error}): restore the folder or train again"
        ) from error
    if manifest.format != FORMAT or actual != manifest.files:
        wrong = sorted(name for name in {*actual, *manifest.files} if actual.get(name) != manifest.files.get(name))
        raise DamagedRewardModel(
            f"{folder} is not what its {MANIFEST_FILE} describes ({', '.join(wrong) or f'format {manifest.format}'}): "
            "restore the folder or train again"
        )
    return manifest
