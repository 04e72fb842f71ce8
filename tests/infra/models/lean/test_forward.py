"""The lean path against transformers' and peft's own, for every architecture it takes."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from infra.models.kv_cache import left_padded, right_padded
from infra.models.lean.forward import hidden_states, lay_out
from infra.models.lean.weights import joined, lay_together, lean_decoder
from infra.models.prefix import completion_hidden, completion_states

SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
KINDS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, attention_bias=True)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
}
PROMPTS = [[5, 6, 7, 8, 9], [11, 12]]
ANSWERS = [[3, 4, 5], [6], [7, 8, 9, 10], [11, 12, 13, 14]]
OWNER = torch.tensor([0, 0, 1, 1])


@pytest.fixture(params=list(KINDS))
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    made = KINDS[request.param]()
    for parameter in made.parameters():  # biases start at 0, norms at 1: nothing would be seen of them
        torch.nn.init.normal_(parameter, 0.5 if parameter.ndim == 1 else 0.0, 0.3)
    return made.requires_grad_(False).eval()


def padded() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    cpu = torch.device("cpu")
    return (*left_padded(PROMPTS, 0, cpu), *right_padded(ANSWERS, 0, cpu))


def one_by_one(model: Any, taps: bool = False) -> list[Any]:
    """Hidden states that predict each answer's tokens, a pass for each answer."""
    found = []
    for owner, answer in zip(OWNER.tolist(), ANSWERS, strict=True):
        ids = torch.tensor([PROMPTS[owner] + answer])
        out = model.get_decoder()(input_ids=ids, output_hidden_states=taps)
        start = len(PROMPTS[owner])
        found.append(out.hidden_states if taps else out.last_hidden_state[0, start - 1 : -1])
    return found


@pytest.mark.parametrize("together", [False, True])
def test_states_of_answers(model: Any, together: bool) -> None:
    expected = torch.cat(one_by_one(model))
    if together:
        lay_together(model)
    prompt_ids, prompt_mask, ids, mask = padded()
    states = completion_states(model.get_decoder(), prompt_ids, prompt_mask, OWNER, ids, mask)
    assert torch.allclose(states, expected, atol=1e-4)


def test_taps_are_the_layers_outputs(model: Any) -> None:
    prompt_ids, prompt_mask, ids, mask = padded()
    _, tapped = completion_hidden(model.get_decoder(), prompt_ids, prompt_mask, OWNER, ids, mask, [0, 2])
    for row, states in enumerate(one_by_one(model, taps=True)):
        length = len(ANSWERS[row])
        for layer, tap in zip([0, 2], tapped, strict=True):
            assert torch.allclose(tap[row, :length], states[layer][0, -length:], atol=1e-4)


def test_laying_weights_together_changes_no_value(model: Any) -> None:
    before = {name: p.clone() for name, p in model.named_parameters()}
    lay_together(model)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    attention = model.get_decoder().layers[0].self_attn
    weights = [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
    whole = joined(weights)
    assert whole is not None
    assert torch.equal(whole, torch.cat(weights))
    with torch.no_grad():
        attention.k_proj.weight.add_(1)
    assert torch.equal(whole, torch.cat(weights))
    assert joined(weights[::-1]) is None


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers for a name it is about to drop
def test_gradients_are_pefts(model: Any) -> None:
    """Of a LoRA on every linear layer: unmerged through peft, merged through the lean decoder."""
    from peft import LoraConfig, get_peft_model

    base = {name: p.clone() for name, p in model.named_parameters()}
    policy = get_peft_model(model, LoraConfig(r=2, lora_alpha=4, target_modules="all-linear"))
    layers = {n: m for n, m in policy.base_model.model.get_decoder().named_modules() if getattr(m, "lora_A", None)}
    for module in layers.values():
        torch.nn.init.normal_(module.lora_B["default"].weight, 0.0, 0.2)
    prompt_ids, prompt_mask, ids, mask = padded()
    arguments = (prompt_ids, prompt_mask, OWNER, ids, mask)
    weights = torch.randn(int(mask.sum()), SIZES["hidden_size"])
    leaves = [m.weight for layer in layers.values() for m in (layer.lora_A["default"], layer.lora_B["default"])]
    states = completion_states(policy.get_base_model().get_decoder(), *arguments)
    expected = torch.autograd.grad((states * weights).sum(), leaves)

    merged = type(model)(model.config).requires_grad_(False).eval()
    merged.load_state_dict(base, strict=False)
    pairs = {}
    for name, module in layers.items():
        a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
        pairs[name] = (a, b, 2.0)
        with torch.no_grad():
            merged.get_decoder().get_submodule(name).weight.add_(b @ a, alpha=2.0)
    lay_together(merged)
    lean = lean_decoder(merged.get_decoder(), pairs)
    assert lean is not None
    found = completion_states(lean, *arguments)
    assert torch.allclose(found, states, atol=1e-4)
    ours = torch.autograd.grad((found * weights).sum(), leaves)
    for a, b in zip(ours, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-3, rtol=1e-3)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_does_not_fit_is_left_to_transformers() -> None:
    sliding = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=8))
    assert lean_decoder(sliding.get_decoder()) is None
    gemma = GemmaForCausalLM(GemmaConfig(**SIZES, head_dim=6))
    assert lean_decoder(gemma.get_decoder()) is None
    from peft import LoraConfig, get_peft_model

    wrapped = get_peft_model(LlamaForCausalLM(LlamaConfig(**SIZES)), LoraConfig(target_modules=["v_proj"]))
    assert lean_decoder(wrapped.get_base_model().get_decoder()) is None


def test_pairs_outside_the_layers_are_refused() -> None:
    """Gradients that would silently be missing."""
    model = LlamaForCausalLM(LlamaConfig(**SIZES))
    pair = (torch.zeros(1, 24), torch.zeros(60, 1), 1.0)
    assert lean_decoder(model.get_decoder(), {"embed_tokens": pair}) is None


def test_one_row_of_each_group_and_long_answers(model: Any) -> None:
    """Attention beyond the length up to which it is written out gives the same."""
    import infra.models.lean.attention as attention

    prompt_ids, prompt_mask, ids, mask = padded()
    lean = lean_decoder(model.get_decoder())
    assert lean is not None
    batch = lay_out(lean, prompt_ids, prompt_mask, OWNER, ids, mask)
    short, _ = hidden_states(lean, batch)
    limit, attention._SHORT = attention._SHORT, 0
    try:
        long, _ = hidden_states(lean, batch)
    finally:
        attention._SHORT = limit
    assert torch.allclose(short, long, atol=1e-4)
