"""What answers for an adapter: read from its folder, and proved on the path that answers."""

from pathlib import Path
from typing import Any, Literal

from infra.contracts import Fingerprint
from infra.models.fingerprint import mean_difference, measure, probe_hash, probe_tokens
from infra.models.lean import forced
from infra.models.lean.voices import Voice, voice_of, with_lora
from infra.models.lean.weights import lay_together
from infra.models.loading import LoadedModel, decoder_and_head
from infra.models.merging import merged_copy, read_pairs

Form = Literal["beside", "merged"]
"""LoRA beside the base's products, or a copy of the base with the adapter added to its weights."""


def base_voice(loaded: LoadedModel) -> Voice | None:
    """The base; None where its architecture is only computed by transformers."""
    lay_together(loaded.model)
    return voice_of(*decoder_and_head(loaded.model))


def adapter_voice(loaded: LoadedModel, base: Voice, folder: Path, form: Form) -> Voice:
    """The adapter in `folder`. One that changes more than the layers' products is merged whatever the form. Raises
    AdapterRefused when it does not fit the base."""
    if form == "beside":
        pairs, scale = read_pairs(loaded, folder)
        within = _name_of_decoder(loaded.model)
        found = with_lora(base, {name.removeprefix(within): pair for name, pair in pairs.items()}, scale)
        if found is not None:
            return found
    voice = voice_of(*decoder_and_head(merged_copy(loaded, folder)))
    assert voice is not None, "a merged copy has the base's architecture"
    return voice


def fingerprint(loaded: LoadedModel, base: Voice | None, voice: Any) -> Fingerprint:
    """Log-probabilities on the probes, each alone; the noise is the largest mean absolute difference to them over a
    repetition, all probes in one step, and one token a step, the last two in the company of the base's rows."""
    if base is None:
        return measure(loaded, voice)
    probes = probe_tokens(loaded)
    first = forced.in_pieces(voice, *probes)
    others = (
        forced.in_pieces(voice, *probes),
        forced.together(voice, base, *probes),
        forced.token_by_token(voice, base, *probes),
    )
    noise = max(mean_difference(first, other) for other in others)
    return Fingerprint(probe_hash(*probes), tuple(tuple(row) for row in first), noise)


def _name_of_decoder(model: Any) -> str:
    """ "model." where the decoder is `model.model`: what its modules' names begin with."""
    decoder = model.get_decoder()
    return next(f"{name}." for name, module in model.named_modules() if module is decoder)
