"""The fused LoRA product against peft's own forward, gradients included."""

import torch

from infra.models.loading import LoadedModel
from infra.models.lora import attach_lora
from infra.models.lora_compute import FusedLora, fused


def test_gradients_in_float64() -> None:
    draw = torch.Generator().manual_seed(0)
    x, a, b = (torch.randn(*shape, generator=draw).double().requires_grad_() for shape in ((2, 3, 5), (2, 5), (4, 2)))
    weight, bias = torch.randn(4, 5, generator=draw).double(), torch.randn(4, generator=draw).double()

    def product(x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return FusedLora.apply(x, weight, bias, a, b, 1.5)  # type: ignore[no-any-return,no-untyped-call]

    direct = x @ weight.T + bias + 1.5 * (x @ a.T) @ b.T
    assert torch.allclose(product(x, a, b), direct)
    assert torch.autograd.gradcheck(product, (x, a, b))


def test_a_model_computes_as_with_peft(tiny_loaded: LoadedModel) -> None:
    model = attach_lora(tiny_loaded, rank=4)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in trained.items():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.1)
    ids = torch.tensor([[1, 5, 6, 7], [1, 9, 10, 11]])

    def gradients() -> tuple[torch.Tensor, list[torch.Tensor]]:
        logits = model(ids).logits
        return logits, list(torch.autograd.grad(logits.square().mean(), list(trained.values())))

    expected, slopes = gradients()
    with fused(model) as count:
        assert count == 14  # seven linear layers in each of two blocks
        found, other = gradients()
    assert torch.allclose(found, expected, atol=1e-5)
    assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(other, slopes, strict=True))
    assert torch.equal(model(ids).logits, expected)  # left as it was


def test_a_layer_with_dropout_keeps_peft(tiny_loaded: LoadedModel) -> None:
    model = attach_lora(tiny_loaded, rank=4)
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    layer.lora_dropout["default"] = torch.nn.Dropout(0.1)
    with fused(model) as count:
        assert count == 13
