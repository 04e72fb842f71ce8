"""Whose fingerprint is it? Pure rules on hand-made numbers, then real adapters."""

from pathlib import Path

import pytest

from infra.contracts import Fingerprint
from infra.models.fingerprint import distance, measure, nearest
from infra.models.loading import LoadedModel
from infra.models.merging import merged_copy
from infra.models.probes import PROBES
from tests.models_fixtures import make_tiny_lora


def print_(*values: float, noise: float = 0.01, probe: str = "p") -> Fingerprint:
    return Fingerprint(probe, (tuple(values),), noise)


KNOWN = {"base": print_(-1.0, -1.0), "a@1": print_(-2.0, -2.0), "b@1": print_(-4.0, -1.0)}


@pytest.mark.parametrize(
    ("measured", "expected", "verdict"),
    [
        (print_(-2.0, -2.02), "a@1", "proven"),
        (print_(-1.0, -1.0), "a@1", "mismatch"),  # the base answers
        (print_(-4.0, -1.0), "a@1", "mismatch"),  # another adapter answers
        (print_(-1.45, -1.45), "a@1", "mismatch"),  # half the scale
        (print_(-2.6, -2.6), "a@1", "mismatch"),  # nearest, but far from everything known
        (print_(-1.6, -1.6, noise=0.1), "a@1", "mismatch"),  # nearest, but within the engine's noise of its rival
        (print_(float("nan"), -2.0), "a@1", "mismatch"),
        (print_(-2.0, -2.0, probe="other"), "a@1", "mismatch"),
        (print_(-1.0, -1.0), "base", "proven"),
    ],
)
def test_verdicts(measured: Fingerprint, expected: str, verdict: str) -> None:
    assert nearest(measured, expected, KNOWN).verdict == verdict


def test_twins_are_indistinguishable_and_others_are_not_admitted_as_one_of_them() -> None:
    twins = {**KNOWN, "a@2": print_(-2.0, -2.01)}
    assert nearest(print_(-2.0, -2.0), "a@2", twins).verdict == "indistinguishable"
    assert nearest(print_(-1.0, -1.0), "a@2", twins).verdict == "mismatch"


def test_alone_it_must_lie_within_the_noise() -> None:
    assert nearest(print_(-1.0, -1.02), "base", {"base": print_(-1.0, -1.0)}).verdict == "proven"
    assert nearest(print_(-1.0, -1.2), "base", {"base": print_(-1.0, -1.0)}).verdict == "mismatch"


def test_distance_by_hand() -> None:
    assert distance(print_(-1.0, -2.0), print_(-1.5, -1.0)) == pytest.approx(0.75)
    assert distance(print_(-1.0), print_(-1.0, -2.0)) == float("inf")


def test_a_real_adapter_is_recognised_among_others(tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    _, kind = make_tiny_lora(tiny_loaded, tmp_path / "kind", seed=1, scale=0.05)
    _, rude = make_tiny_lora(tiny_loaded, tmp_path / "rude", seed=2, scale=0.05)
    base = measure(tiny_loaded)
    known = {"base": base, "kind@1": kind, "rude@1": rude}
    served = measure(tiny_loaded, merged_copy(tiny_loaded, tmp_path / "kind"))
    assert len(base.logprobs) == len(PROBES)
    assert base.noise < 1e-5
    assert nearest(served, "kind@1", known).verdict == "proven"
    assert nearest(served, "rude@1", known).verdict == "mismatch"
    assert nearest(base, "kind@1", known).verdict == "mismatch"
