"""What answers for an adapter, and what it says on the probes: the same for whoever trains it and whoever serves it.

In bf16 a product with W + s B A rounded once and the sum of two products differ by as much as two kernels of a library
do: some hundredths of a nat a token on a small model. So the fingerprint that training stores is taken of the form, and
by the steps, that serving answers with.
"""

from pathlib import Path
from typing import Any

from infra.contracts import Fingerprint
from infra.models.errors import AdapterRefused
from infra.models.fingerprint import MARGIN, NEAR, NOISE_FLOOR, fingerprint_of, mean_difference, measure, probe_tokens
from infra.models.lean import forced
from infra.models.lean.voices import Voice, voice_of, with_lora
from infra.models.lean.weights import lay_together, lean_decoder
from infra.models.loading import LoadedModel, decoder_and_head
from infra.models.merging import merged_copy, read_pairs


def base_voice(loaded: LoadedModel) -> Voice | None:
    """The base, its weights laid together; None where its architecture is only computed by transformers."""
    if lean_decoder(decoder_and_head(loaded.model)[0]) is None:
        return None
    lay_together(loaded.model)
    return voice_of(*decoder_and_head(loaded.model))


def adapter_voice(loaded: LoadedModel, base: Voice, folder: Path) -> Voice:
    """The adapter in `folder` beside the base; merged into a copy if it changes more than the layers' products. Raises
    AdapterRefused when it does not fit the base."""
    pairs, scale = read_pairs(loaded, folder)
    within = _name_of_decoder(loaded.model)
    beside = with_lora(base, {name.removeprefix(within): pair for name, pair in pairs.items()}, scale)
    if beside is not None:
        return beside
    voice = voice_of(*decoder_and_head(merged_copy(loaded, folder)))
    assert voice is not None, "a merged copy has the base's architecture"
    return voice


def measure_adapter(loaded: LoadedModel, folder: Path) -> Fingerprint:
    """The fingerprint that an adapter just saved is to be known by. Raises AdapterRefused when it does not fit."""
    base = base_voice(loaded)
    if base is None:
        return measure(loaded, merged_copy(loaded, folder))
    return measure_voice(loaded, base, adapter_voice(loaded, base, folder))


def measure_voice(loaded: LoadedModel, base: Voice, voice: Voice) -> Fingerprint:
    """Log-probabilities on the probes, each in a step of its own; the noise is the largest mean absolute difference to
    them over a repetition and over all probes in one step, in the company of the base's rows."""
    probes = probe_tokens(loaded)
    alone = forced.in_pieces(voice, *probes)
    return fingerprint_of(*probes, alone, forced.in_pieces(voice, *probes), forced.together(voice, base, *probes))


def check_single_tokens(loaded: LoadedModel, base: Voice, voice: Voice, measured: Fingerprint) -> None:
    """Token by token, as answers are drawn, the adapter says what it says in pieces: within MARGIN times what the base
    differs by there, or at least nearer (by NEAR) to that than to what the base says. Raises AdapterRefused."""
    probes = probe_tokens(loaded)
    by_base = forced.in_pieces(base, *probes)
    gap = mean_difference(forced.token_by_token(voice, base, *probes), measured.logprobs)
    usual = mean_difference(forced.token_by_token(base, base, *probes), by_base)
    apart = mean_difference(measured.logprobs, by_base)
    if gap > MARGIN * max(usual, NOISE_FLOOR) and gap > NEAR * apart:
        raise AdapterRefused(
            f"drawing token by token the engine differs from itself by {gap:.4f} nats a token, and from the base by "
            f"{apart:.4f} (usual: {usual:.4f}): the adapter is not what answers; this is a defect of the engine",
            code="adapter_mismatch",
        )


def _name_of_decoder(model: Any) -> str:
    """ "model." where the decoder is `model.model`: what its modules' names begin with."""
    decoder = model.get_decoder()
    return next(f"{name}." for name, module in model.named_modules() if module is decoder)
