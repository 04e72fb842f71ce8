"""What the base model says on the probes where training computes: what the servers' base is held to."""

from pathlib import Path

import msgspec
import structlog

from infra.contracts import Fingerprint
from infra.models.fingerprint import measure, probe_hash, probe_tokens
from infra.models.loading import LoadedModel, load_base
from infra.models.voices import base_voice, measure_voice
from infra.settings import Settings

log = structlog.get_logger()


def base_reference(loaded: LoadedModel, settings: Settings) -> Fingerprint:
    """The base's fingerprint, measured here once with its weights and kept in the data folder. Takes the memory of the
    weights the first time. Raises BaseModelUnavailable."""
    probes = probe_hash(*probe_tokens(loaded))
    path = settings.data_dir / f"base-fingerprint-{loaded.base_model_hash[:16]}-{probes[:16]}.json"
    known = _read(path)
    if known is not None and known.probe_hash == probes:
        return known
    whole = loaded if loaded.model is not None else load_base(settings)
    voice = base_voice(whole)
    fingerprint = measure(whole) if voice is None else measure_voice(whole, voice, voice)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".new")
    scratch.write_bytes(msgspec.json.encode(fingerprint))
    scratch.replace(path)
    log.info("base_fingerprint_measured", base_model_hash=loaded.base_model_hash, noise=fingerprint.noise)
    return fingerprint


def _read(path: Path) -> Fingerprint | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Fingerprint)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
