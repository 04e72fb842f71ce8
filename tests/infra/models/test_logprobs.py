"""Log-probabilities: values and gradients against the plain computation."""

import pytest
import torch

from infra.models import logprobs
from infra.models.loading import LoadedModel
from infra.models.logprobs import (
    completion_logprobs,
    logprobs_and_entropies,
    logprobs_at,
    sampled_logprobs,
    sequence_logprobs,
)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("chunk", [3, 512])
def test_value_and_gradient_equal_autograd(temperature: float, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "CHUNK", chunk)
    torch.manual_seed(0)
    hidden, weight = torch.randn(10, 6, requires_grad=True), torch.randn(17, 6)
    tokens, upstream = torch.randint(17, (10,)), torch.randn(10)
    ours = sampled_logprobs(hidden, weight, tokens, temperature)
    plain = (hidden @ weight.t() / temperature).log_softmax(-1).gather(1, tokens[:, None]).squeeze(1)
    assert torch.allclose(ours, plain, atol=1e-6)
    (mine,) = torch.autograd.grad(ours, hidden, upstream)
    (theirs,) = torch.autograd.grad(plain, hidden, upstream)
    assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_how_many_rows_a_softmax_takes_changes_no_bit(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    weight, tokens = torch.randn(17, 6).to(dtype), torch.randint(17, (11,))
    upstream = torch.randn(2, 11)
    found = []
    for rows in (1, 4, 1000):
        monkeypatch.setattr(logprobs, "SOFTMAX_ROWS", rows)
        hidden = torch.linspace(-2, 2, 66).view(11, 6).to(dtype).requires_grad_()
        told = logprobs_and_entropies(hidden, weight, tokens, 0.7, gradient=True)
        torch.autograd.backward(told, tuple(upstream))
        found.append([*told, hidden.grad])
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


def test_several_temperatures_from_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "CHUNK", 3)
    torch.manual_seed(0)
    hidden, weight, tokens = torch.randn(10, 6), torch.randn(17, 6), torch.randint(17, (10,))
    for temperature, values in zip((1.0, 0.6), logprobs_at(hidden, weight, tokens, (1.0, 0.6)), strict=True):
        plain = (hidden @ weight.t() / temperature).log_softmax(-1).gather(1, tokens[:, None]).squeeze(1)
        assert torch.allclose(values, plain, atol=1e-6)
    assert [len(values) for values in logprobs_at(hidden[:0], weight, tokens[:0], (1.0, 0.6))] == [0, 0]


def test_padding_and_batching_change_nothing(tiny_loaded: LoadedModel) -> None:
    prompts = [[1, 30, 40], [1, 9], [1, 5, 6, 7, 8, 9]]
    completions: list[list[int]] = [[50, 60, 2], [11, 12, 13, 14, 15], []]
    together = sequence_logprobs(tiny_loaded, prompts, completions)
    for prompt, completion, values in zip(prompts, completions, together, strict=True):
        ids = torch.tensor([prompt + completion])
        full = tiny_loaded.model(ids).logits[0].log_softmax(-1)
        expected = [full[len(prompt) - 1 + t, token].item() for t, token in enumerate(completion)]
        assert values == pytest.approx(expected, abs=1e-5)


def test_gradients_reach_the_model(tiny_loaded: LoadedModel) -> None:
    tiny_loaded.model.model.layers[0].mlp.up_proj.weight.requires_grad_(True)
    ids = torch.tensor([[1, 30, 40, 50]])
    real = torch.tensor([[0, 0, 1, 1]])
    values = completion_logprobs(tiny_loaded.model, ids, real)
    assert values[0, 0] == 0
    values.sum().backward()
    assert tiny_loaded.model.model.layers[0].mlp.up_proj.weight.grad.abs().sum() > 0


def test_an_empty_prompt_is_refused(tiny_loaded: LoadedModel) -> None:
    with pytest.raises(ValueError, match="prompt"):
        sequence_logprobs(tiny_loaded, [[]], [[1]])
    assert sampled_logprobs(torch.zeros(0, 4), torch.zeros(5, 4), torch.zeros(0, dtype=torch.long)).shape == (0,)
