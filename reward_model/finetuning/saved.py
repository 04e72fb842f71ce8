"""A fine-tuned reward model on disk and in use: adapter, heads, and a manifest with the hash of every file."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from reward_model.files import DamagedRewardModel
from reward_model.finetuning.examples import encode_closed
from reward_model.finetuning.model import ScoreHeads, Scorer, ready, sharing_copy
from reward_model.finetuning.training import UTILITY, Finetuned
from reward_model.score_cache import Floats, ScoreCache, score_key
from reward_model.scores import BackboneMismatch, Scores

MANIFEST_FILE = "finetuned_reward_model.json"
HEADS_FILE = "heads.safetensors"
ADAPTER_FOLDER = "adapter"
FORMAT = 1


class FinetunedManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a fine-tuned reward model is. `objectives`: its heads, `utility` last if there is one; `calibration[head]`
    a Calibration's document for each of the others; `utility_offset` is taken off every utility; `files`: SHA-256 by
    name; `report` and `card` as in `reward_model.files.Manifest`."""

    name: str
    version: int
    objectives: tuple[str, ...]
    base_model_hash: str
    tokenizer_hash: str
    template_hash: str
    max_prompt_tokens: int
    max_answer_tokens: int
    calibration: dict[str, Any] = msgspec.field(default_factory=dict)
    utility_offset: float = 0.0
    files: dict[str, str] = msgspec.field(default_factory=dict)
    created_at: float = 0.0
    config_hash: str = ""
    report: dict[str, Any] = msgspec.field(default_factory=dict)
    card: dict[str, Any] = msgspec.field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True)
class FinetunedRewardModel:
    """Scores as `reward_model.scoring.RewardModel` does, from a backbone of its own: `score_hidden` has no meaning."""

    manifest: FinetunedManifest
    scorer: Scorer
    cache: ScoreCache

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
        """Read a folder written by `save`, after checking its hashes; the base stays as it is. Raises
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
        return cls(manifest, Scorer(loaded, ready(peft, loaded.dtype), heads.to(loaded.device)), ScoreCache())

    def save(self, folder: Path) -> dict[str, str]:
        """Write the model so that it appears whole or not at all; SHA-256 by name. What stood there is replaced."""
        draft = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        save_adapter(self.scorer.peft, self.scorer.base, draft / ADAPTER_FOLDER)
        heads = {name: tensor.detach().cpu() for name, tensor in self.scorer.heads.state_dict().items()}
        save_file(heads, draft / HEADS_FILE)
        sealed = msgspec.structs.replace(self.manifest, files=hash_folder(draft))
        (draft / MANIFEST_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(sealed), indent=2))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(draft, folder)
        return hash_folder(folder)

    @property
    def objectives(self) -> tuple[str, ...]:
        """Columns of scores."""
        return self.manifest.objectives

    @property
    def recipe(self) -> FeatureRecipe:
        """How prompts and answers are cut; it reads no layers."""
        return FeatureRecipe((), self.manifest.max_prompt_tokens, self.manifest.max_answer_tokens)

    def calibrated(self, calibration: Mapping[str, Calibration], utility_offset: float = 0.0) -> "FinetunedRewardModel":
        """The same model with calibrations of its probability heads, and a level for its utility."""
        documents = {name: msgspec.to_builtins(value) for name, value in calibration.items()}
        manifest = msgspec.structs.replace(self.manifest, calibration=documents, utility_offset=utility_offset)
        return FinetunedRewardModel(manifest, self.scorer, ScoreCache())

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
        keys = [
            score_key(str(loaded.dtype), messages, answer) for messages, answer in zip(prompts, answers, strict=True)
        ]

        def compute(rows: list[int]) -> Floats:
            raw = self.logits([prompts[i] for i in rows], [answers[i] for i in rows], batch_size).double().numpy()
            return np.stack([self._column(name, raw[:, k]) for k, name in enumerate(self.objectives)], 1)

        stacked = self.cache.fill(keys, compute, (len(self.objectives), 2))
        return Scores(self.objectives, values=stacked[:, :, 0], uncertainty=stacked[:, :, 1])

    def _column(self, name: str, raw: Floats) -> Floats:
        """[B, 2]: value of the first head, spread of the ensemble."""
        if name == UTILITY:
            values = raw - self.manifest.utility_offset
        else:
            document = self.manifest.calibration.get(name)
            values = (calibration_of(document) if document is not None else Calibration()).apply(raw)
        spread = values[:, 1:].std(1) if values.shape[1] > 1 else np.zeros(len(values))
        return np.stack([values[:, 0], spread], 1)


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
