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
    return model_voice(loaded.model)


def model_voice(model: Any) -> Voice | None:
    """The voice of a model's own weights; None where only transformers computes it."""
    return voice_of(*decoder_and_head(model))


def adapter_voice(loaded: LoadedModel, base: Voice, folder: Path) -> Voice:
    """The adapter in `folder` beside the base; merged into a copy if it changes more than the layers' products. Raises
    AdapterRefused when it does not fit the base."""
    pairs, scale = read_pairs(loaded, folder)
    within = _name_of_decoder(loaded.model)
    beside = with_lora(base, {name.removeprefix(within): pair for name, pair in pairs.items()}, scale)
    if beside is not None:
        return beside
    voice = model_voice(merged_copy(loaded, folder))
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


class SingleTokens:
    """Whether adapters say the same as they draw, token by token, as in the pieces that their fingerprint is taken of.
    What the base says is computed once."""

    def __init__(self, loaded: LoadedModel, base: Voice) -> None:
        self._loaded = loaded
        self._base = base
        self._by_base: list[list[float]] | None = None
        self._usual = NOISE_FLOOR

    def check(self, voice: Voice, measured: Fingerprint) -> None:
        """Within MARGIN times what the base differs by there, or at least nearer (by NEAR) to what it says in pieces
        than to what the base says. Raises AdapterRefused."""
        base, probes = self._base, probe_tokens(self._loaded)
        if self._by_base is None:
            self._by_base = forced.in_pieces(base, *probes)
            self._usual = mean_difference(forced.token_by_token(base, base, *probes), self._by_base)
        gap = mean_difference(forced.token_by_token(voice, base, *probes), measured.logprobs)
        apart = mean_difference(measured.logprobs, self._by_base)
        if gap > MARGIN * max(self._usual, NOISE_FLOOR) and gap > NEAR * apart:
            raise AdapterRefused(
                f"drawing token by token the engine differs from itself by {gap:.4f} nats a token (usual: "
                f"{self._usual:.4f}), and from the base by {apart:.4f}: the adapter is not what answers; this is a "
                "defect of the engine",
                code="adapter_mismatch",
            )


def _name_of_decoder(model: Any) -> str:
    """ "model." where the decoder is `model.model`: what its modules' names begin with."""
    decoder = model.get_decoder()
    return next(f"{name}." for name, module in model.named_modules() if module is decoder)
