"""Which adapter is speaking: log-probabilities on fixed probes, and whose stored fingerprint they are nearest to.

The commonest silent failure of this field is serving other weights than those trained. Names and file hashes cannot
see it; what the engine says on fixed probes can. `measure` needs torch, the comparison is pure.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from infra.contracts import AdapterRef, Fingerprint, Message
from infra.models.probes import PROBES

if TYPE_CHECKING:
    from infra.models.loading import LoadedModel

Verdict = Literal["proven", "indistinguishable", "mismatch"]

MARGIN = 3.0
"""How many times the noise a rival must be farther away than the expected adapter."""
NOISE_FLOOR = 1e-4
"""Nats. Repetitions that happen to agree to the last bit do not make an engine noiseless."""
NEAR = 0.5
"""At most this share of the way from the expected fingerprint to its nearest rival: weights that lie half-way, such as
an adapter loaded at half its scale, are not the adapter."""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a comparison. Distances and noise are mean absolute differences in nats a token.

    `distance`: measured to expected; `rival_distance`: measured to the nearest other known fingerprint, `rival`;
    `separation`: expected to that nearest rival of its own, as stored. `margin`: how many times the noise the nearest
    rival is farther away than the expected one; None without a rival.
    """

    verdict: Verdict
    distance: float
    rival: AdapterRef | None
    rival_distance: float | None
    separation: float | None
    noise: float
    reason: str
    margin: float | None = None


def measure(loaded: "LoadedModel", model: Any = None) -> Fingerprint:
    """The fingerprint of `model` (default: the bare base) on the probes, by the steps that serving answers with; by
    transformers' modules where those do not compute it (other architectures, a peft model with LoRA in its layers).

    The values come from batches of one, so their shape never changes. The noise is measured: see `fingerprint_of`.
    """
    from infra.models.voices import measure_voice, model_voice

    voice = model_voice(loaded.model if model is None else model)
    return measure_by_modules(loaded, model) if voice is None else measure_voice(loaded, voice, voice)


def measure_by_modules(loaded: "LoadedModel", model: Any = None) -> Fingerprint:
    """`measure` by transformers' own forward pass. In bf16 it lies some hundredths of a nat from that by steps."""
    from infra.models.logprobs import sequence_logprobs

    prompts, completions = probe_tokens(loaded)
    first = sequence_logprobs(loaded, prompts, completions, model=model, micro_batch=1)
    again = sequence_logprobs(loaded, prompts, completions, model=model, micro_batch=1)
    together = sequence_logprobs(loaded, prompts, completions, model=model, micro_batch=len(prompts))
    return fingerprint_of(prompts, completions, first, again, together)


def fingerprint_of(
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    alone: Sequence[Sequence[float]],
    again: Sequence[Sequence[float]],
    together: Sequence[Sequence[float]],
) -> Fingerprint:
    """The fingerprint from log-probabilities (nats) of the probes' completions, however they were computed.

    `alone`: each probe by itself, the values; `again`: a repetition; `together`: all at once, as serving computes. The
    noise is the largest mean absolute difference of the other two to the values.
    """
    return Fingerprint(
        probe_hash=probe_hash(prompts, completions),
        logprobs=tuple(tuple(row) for row in alone),
        noise=max(mean_difference(alone, again), mean_difference(alone, together)),
    )


def probe_tokens(loaded: "LoadedModel") -> tuple[list[list[int]], list[list[int]]]:
    """Prompts and completions of the probes as tokens of this model."""
    from infra.models.chat import render_chat

    prompts = [render_chat(loaded, [Message("user", question)]) for question, _ in PROBES]
    completions = [list(loaded.tokenizer(answer, add_special_tokens=False).input_ids) for _, answer in PROBES]
    return prompts, completions


def probe_hash(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> str:
    """SHA-256 of the probes' tokens: fingerprints of other probes or tokenizers are never compared."""
    document = json.dumps([[list(p) for p in prompts], [list(c) for c in completions]])
    return hashlib.sha256(document.encode()).hexdigest()


def distance(one: Fingerprint, other: Fingerprint) -> float:
    """Mean absolute difference of log-probabilities, nats; infinite when the probes differ or a value is NaN."""
    if one.probe_hash != other.probe_hash:
        return float("inf")
    if [len(row) for row in one.logprobs] != [len(row) for row in other.logprobs]:
        return float("inf")
    difference = mean_difference(one.logprobs, other.logprobs)
    return difference if difference == difference else float("inf")


def nearest(
    measured: Fingerprint, expected: AdapterRef, known: Mapping[AdapterRef, Fingerprint], allowance: float = 0.0
) -> Proof:
    """Whether `measured` is `expected`, judged against every fingerprint known (the base under `base`).

    proven: d(measured, expected) + MARGIN x noise < d(measured, rival) for every rival, and d(measured, expected) <=
    NEAR x separation + allowance. indistinguishable: expected and a rival are stored within MARGIN x noise of each
    other, and the measured one lies as near: only file hashes can tell them apart. mismatch: anything else.

    `allowance` (nats, >= 0): how far another engine's arithmetic may lie from that of training; it widens how near is
    near enough, never the margin over a rival. Raises KeyError when `expected` is not among the known.
    """
    target = known[expected]
    noise = max(measured.noise, target.noise, NOISE_FLOOR)
    own = distance(measured, target)
    within = max(MARGIN * noise, allowance)
    rivals = {ref: print_ for ref, print_ in known.items() if ref != expected}
    if not rivals:
        verdict: Verdict = "proven" if own <= within else "mismatch"
        return _proof(verdict, own, None, None, None, noise, expected)
    separation = min(distance(target, print_) for print_ in rivals.values())
    rival, rival_distance = min(((r, distance(measured, p)) for r, p in rivals.items()), key=lambda pair: pair[1])
    if separation <= MARGIN * noise:
        verdict = "indistinguishable" if own <= within else "mismatch"
    elif own + MARGIN * noise < rival_distance and own <= NEAR * separation + allowance:
        verdict = "proven"
    else:
        verdict = "mismatch"
    return _proof(verdict, own, rival, rival_distance, separation, noise, expected)


def _proof(
    verdict: Verdict,
    own: float,
    rival: AdapterRef | None,
    rival_distance: float | None,
    separation: float | None,
    noise: float,
    expected: AdapterRef,
) -> Proof:
    against = f"nearest other {rival} at {rival_distance:.4f}" if rival_distance is not None else "no other is known"
    texts = {
        "proven": "it is what was trained",
        "indistinguishable": f"weights closer than the noise to another's ({rival}): admitted by file hash alone",
        "mismatch": "what is loaded does not speak as it did in training: it takes no traffic; reload it or retrain",
    }
    reason = f"{expected}: distance {own:.4f} nats a token, {against}, noise {noise:.5f}: {texts[verdict]}"
    return Proof(
        verdict=verdict,
        distance=own,
        rival=rival,
        rival_distance=rival_distance,
        separation=separation,
        noise=noise,
        reason=reason,
        margin=None if rival_distance is None else (rival_distance - own) / noise,
    )


def mean_difference(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> float:
    """Mean absolute difference over every token of equally shaped rows, nats."""
    pairs = [(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)]
    return sum(abs(a - b) for a, b in pairs) / len(pairs)
