"""Drawing tokens: against hand-made cases, transformers' own warpers, and frequencies."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from infra.contracts import SamplingParameters
from infra.models import sampling
from infra.models.sampling import Controls, Draw, controls_of, draw


def controls(rows: int, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Controls:
    return Controls(torch.full((rows,), temperature), torch.full((rows,), top_k), torch.full((rows,), top_p))


def at(logits: Tensor, u: float, **more: float) -> Draw:
    return draw(logits, controls(1, **more), torch.tensor([u], dtype=torch.float64))  # type: ignore[arg-type]


def test_by_hand() -> None:
    """Probabilities .3 .2 .5 of ids 0, 1, 2: in that order where nothing truncates, sorted (2, 0, 1) where something
    does."""
    logits = torch.tensor([[0.3, 0.2, 0.5]]).log()
    assert [at(logits, u).token.item() for u in (0.0, 0.29, 0.31, 0.49, 0.51, 0.999)] == [0, 0, 1, 1, 2, 2]
    drawn = at(logits, 0.1)
    assert drawn.logprob_raw.item() == pytest.approx(math.log(0.3), abs=1e-6)
    assert drawn.logprob_sampled.item() == pytest.approx(math.log(0.3), abs=1e-6)
    nucleus = at(logits, 0.9, top_p=0.6)  # keeps .5 and .3
    assert nucleus.token.item() == 0
    assert nucleus.logprob_raw.item() == pytest.approx(math.log(0.3), abs=1e-6)
    assert nucleus.logprob_sampled.item() == pytest.approx(math.log(0.3 / 0.8), abs=1e-6)
    two = at(logits, 0.62, top_k=2)  # .625 and .375
    assert two.token.item() == 2
    assert two.logprob_sampled.item() == pytest.approx(math.log(0.625), abs=1e-6)


def test_greedy_takes_the_likeliest_with_certainty() -> None:
    logits = torch.tensor([[0.1, 3.0, 0.2]])
    drawn = at(logits, 0.999, temperature=0.0)
    assert (drawn.token.item(), drawn.logprob_sampled.item()) == (1, 0.0)
    assert drawn.logprob_raw.item() == pytest.approx(logits.log_softmax(-1)[0, 1].item())


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.3, 1.0, 1.7]),
    st.sampled_from([0, 1, 5, 100]),
    st.sampled_from([0.05, 0.5, 0.97, 1.0]),
    st.floats(0, 0.999999),
)
def test_log_probabilities_agree_with_transformers(seed: int, t: float, k: int, p: float, u: float) -> None:
    logits = torch.randn(1, 300, generator=torch.Generator().manual_seed(seed)) * 2
    drawn = at(logits, u, temperature=t, top_k=k, top_p=p)
    scores = TemperatureLogitsWarper(t)(None, logits.clone())
    if k:
        scores = TopKLogitsWarper(k)(None, scores)
    if p < 1:
        scores = TopPLogitsWarper(p)(None, scores)
    expected = scores.log_softmax(-1)[0, drawn.token.item()]  # type: ignore[index]
    assert drawn.logprob_sampled.item() == pytest.approx(expected.item(), abs=2e-4)
    assert drawn.logprob_raw.item() == pytest.approx(logits.log_softmax(-1)[0, drawn.token].item(), abs=1e-4)


@pytest.mark.parametrize("head", [4, 300])
def test_the_pre_cut_changes_nothing(head: int) -> None:
    """With a flat distribution nearly every draw falls outside a head of four."""
    logits = torch.randn(64, 300, generator=torch.Generator().manual_seed(1)) * 0.1
    uniforms = torch.rand(64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    cut, whole = (draw(logits, controls(64, top_p=0.9), uniforms, head=h) for h in (head, 300))
    assert torch.equal(cut.token, whole.token)
    assert torch.allclose(cut.logprob_sampled, whole.logprob_sampled, atol=1e-5)


def test_how_many_rows_are_drawn_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    count = 2 * sampling.ROWS + 5
    logits, uniforms = torch.randn(count, 700) * 3, torch.rand(count, dtype=torch.float64)
    some = [
        SamplingParameters(temperature=0.1 * (i % 15), top_k=i % 3 * 20, top_p=(0.4, 1.0)[i % 2]) for i in range(count)
    ]
    controls = controls_of(some, logits.device)
    in_blocks = draw(logits, controls, uniforms)
    monkeypatch.setattr(sampling, "ROWS", count)
    at_once = draw(logits, controls, uniforms)
    assert all(torch.equal(one, two) for one, two in zip(in_blocks, at_once, strict=True))


def test_frequencies_follow_the_distribution() -> None:
    logits = torch.randn(1, 40, generator=torch.Generator().manual_seed(3))
    rows = 40_000
    uniforms = torch.rand(rows, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    tokens = draw(logits.expand(rows, -1), controls(rows), uniforms).token
    counts = torch.bincount(tokens, minlength=40).double()
    expected = logits.softmax(-1)[0].double() * rows
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    assert chi_square < 76  # 39 degrees of freedom: 99.9 % lie below 72


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, 1e-37, 1e-9, 2e-6])
@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (0, 0.5), (3, 1.0)])
def test_temperatures_near_zero_take_the_likeliest(temperature: float, top_k: int, top_p: float) -> None:
    """Logits over 1e-40 are infinite: drawn so, the token would be any and its probability NaN."""
    logits = torch.tensor([[1.0, 80.0, 3.0, 79.0], [0.5, -2.0, 0.1, -80.0]])
    sampling = [SamplingParameters(temperature=temperature, top_k=top_k, top_p=top_p)] * 2
    drawn = draw(logits, controls_of(sampling, logits.device), torch.tensor([0.999, 0.0], dtype=torch.float64))
    assert drawn.token.tolist() == [1, 0]
    assert drawn.logprob_sampled.tolist() == [0.0, 0.0]
    assert torch.isfinite(drawn.logprob_raw).all()
