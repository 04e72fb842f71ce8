"""The base model in memory, with the identities every interaction carries."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from infra.models.errors import BaseModelUnavailable, UnsupportedModel
from infra.models.fetch import fetch_base
from infra.models.hashes import sha256_files
from infra.settings import Settings

if TYPE_CHECKING:
    import torch

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "special_tokens_map.json")


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model ready to compute. `model` is a transformers CausalLM in evaluation mode, frozen.

    `base_model_hash` covers the weight files and config.json, `tokenizer_hash` the tokenizer files, `template_hash` the
    chat template. `end_ids` end an answer; `pad_id` fills rows and is never seen by a real token.
    """

    model: Any
    tokenizer: Any
    path: Path
    device: "torch.device"
    dtype: "torch.dtype"
    base_model_hash: str
    tokenizer_hash: str
    template_hash: str
    end_ids: tuple[int, ...]
    pad_id: int
    context_length: int


def load_base(settings: Settings) -> LoadedModel:
    """Fetch and load the base model as `settings.model` says. Raises BaseModelUnavailable, UnsupportedModel."""
    import torch

    # A training child is started with OMP_NUM_THREADS = jobs.child_threads.
    capped = int(os.environ.get("OMP_NUM_THREADS", "0"))
    torch.set_num_threads(settings.model.threads or capped or len(os.sched_getaffinity(0)))
    return load_folder(fetch_base(settings), device=settings.model.device, dtype=settings.model.dtype)


def load_folder(path: Path, *, device: str = "auto", dtype: str = "auto") -> LoadedModel:
    """Load a model folder. `device` and `dtype` as in ModelSettings. Raises BaseModelUnavailable, UnsupportedModel."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # a bar for loading 270 MB would land in the server's log
    place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    kind = weight_type(dtype, place)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=kind).to(place)
    except (OSError, ValueError, KeyError) as error:
        raise BaseModelUnavailable(
            f"no causal language model could be loaded from {path} ({error}): run `plaudit models fetch`, or point "
            "model.base at a folder with config.json, tokenizer files and safetensors",
            field="model.base",
        ) from error
    model.requires_grad_(False)
    model.eval()
    end_ids = _end_ids(model, tokenizer, path)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end_ids[0]
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        path=path,
        device=place,
        dtype=kind,
        end_ids=end_ids,
        pad_id=int(pad_id),
        context_length=int(getattr(model.config, "max_position_embeddings", 0) or 2048),
        **_hashes(path, tokenizer),
    )


def weight_type(dtype: str, device: "torch.device") -> "torch.dtype":
    """The precision `model.dtype` means on `device`. `auto` is bf16 on a GPU and on a processor that multiplies it;
    where oneDNN has no kernels for it (x86 without AVX-512), a product takes a multiple of its time in fp32."""
    import torch

    if dtype == "auto" and device.type == "cpu" and not cpu_multiplies_bf16():
        return torch.float32
    return torch.float32 if dtype == "float32" else torch.bfloat16


def cpu_multiplies_bf16() -> bool:
    """Whether torch takes bf16 products to oneDNN here: what torch itself asks before it does."""
    import torch

    return bool(torch._C._has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def load_without_weights(path: Path) -> LoadedModel:
    """What a gateway must know of a base model that another machine computes: tokenizer, template, hashes, lengths.

    `model` is None. Raises BaseModelUnavailable, UnsupportedModel.
    """
    import torch
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    try:
        tokenizer, config = AutoTokenizer.from_pretrained(path), AutoConfig.from_pretrained(path)
    except (OSError, ValueError, KeyError) as error:
        raise BaseModelUnavailable(
            f"no tokenizer and configuration could be loaded from {path} ({error}): run `plaudit models fetch`, or "
            "point model.base at a folder with config.json, tokenizer files and safetensors",
            field="model.base",
        ) from error
    try:
        generation = GenerationConfig.from_pretrained(path)
    except OSError:  # a folder may lack it
        generation = GenerationConfig.from_model_config(config)
    end_ids = _end_ids(SimpleNamespace(generation_config=generation), tokenizer, path)
    return LoadedModel(
        model=None,
        tokenizer=tokenizer,
        path=path,
        device=torch.device("cpu"),
        dtype=torch.bfloat16,
        end_ids=end_ids,
        pad_id=int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end_ids[0]),
        context_length=int(getattr(config, "max_position_embeddings", 0) or 2048),
        **_hashes(path, tokenizer),
    )


def _hashes(path: Path, tokenizer: Any) -> dict[str, str]:
    return {
        "base_model_hash": _weights_hash(path),
        "tokenizer_hash": sha256_files(path / name for name in _TOKENIZER_FILES if (path / name).is_file()),
        "template_hash": hashlib.sha256((tokenizer.chat_template or "").encode()).hexdigest(),
    }


def decoder_and_head(model: Any) -> "tuple[Any, torch.Tensor]":
    """The decoder (token ids -> hidden states) and the output matrix [vocabulary, hidden] of a CausalLM or of a peft
    model around one. Raises UnsupportedModel where logits are more than hidden states times that matrix."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = inner.config
    for name in ("final_logit_softcapping", "logits_scaling", "logit_scale"):
        if getattr(config, name, None) not in (None, 1, 1.0):
            raise UnsupportedModel(f"{config.model_type} rescales its logits ({name}); choose another base model")
    head = inner.get_output_embeddings()
    if getattr(head, "bias", None) is not None:
        raise UnsupportedModel(f"{config.model_type} has a bias in its output layer; choose another base model")
    return inner.get_decoder(), head.weight


def _end_ids(model: Any, tokenizer: Any, path: Path) -> tuple[int, ...]:
    configured = getattr(model.generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    ends = sorted({int(end) for end in [tokenizer.eos_token_id, *listed] if end is not None})
    if not ends:
        raise UnsupportedModel(f"the tokenizer in {path} has no end token (eos_token): answers would never end")
    return tuple(ends)


def _weights_hash(path: Path) -> str:
    weights = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))
    if not weights:
        raise BaseModelUnavailable(f"{path} holds no weights (*.safetensors)", field="model.base")
    return sha256_files([*weights, path / "config.json"])
