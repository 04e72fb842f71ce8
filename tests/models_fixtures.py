"""Tiny random language models and LoRA adapters, made offline in well under a second."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.shared import made_once

if TYPE_CHECKING:
    from infra.models.loading import LoadedModel

_CORPUS = [
    "How can I fall asleep faster? Keep your room dark and cool, and put your phone away.",
    "What is the capital of Norway? The capital of Norway is Oslo.",
    "Great question! For example, write down what you buy for a week.",
    "You are a helpful assistant. Answer in two short sentences.",
]
_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def make_tiny_model(folder: Path, *, seed: int = 0) -> Path:
    """A random two-layer Llama with a byte-level tokenizer (400 entries) and a chat template, saved to `folder`."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())  # sorted: a set's order would change the ids between runs
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    fast.chat_template = _TEMPLATE
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.2,  # wide: the distributions of a random model should not all be flat
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def make_tiny_lora(loaded: "LoadedModel", folder: Path, *, seed: int = 1, scale: float = 0.5, rank: int = 4) -> Any:
    """A random adapter that changes the model visibly, saved to `folder`; returns `(file_hashes, fingerprint)`.

    The base in `loaded` is left as it was. `scale` is the standard deviation of B (0 would change nothing).
    """
    import torch

    from infra.models.fingerprint import measure
    from infra.models.lora import attach_lora, save_adapter

    model = attach_lora(loaded, rank=rank, alpha=2.0 * rank, seed=seed)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, scale)
    fingerprint = measure(loaded, model)
    hashes = save_adapter(model, loaded, folder)
    model.unload()
    return hashes, fingerprint


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random chat model (treat as read-only)."""
    return made_once(tmp_path_factory, "tiny-model", make_tiny_model)


@pytest.fixture(scope="session")
def other_tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another base of the same shape: adapters of the one do not belong to it."""
    return made_once(tmp_path_factory, "other-tiny-model", partial(make_tiny_model, seed=7))


@pytest.fixture
def tiny_loaded(tiny_model_dir: Path) -> "LoadedModel":
    """The tiny model in float32, loaded anew for each test: adapters wrap a base in place."""
    import torch

    from infra.models.loading import load_folder

    torch.set_num_threads(1)
    return load_folder(tiny_model_dir, device="cpu", dtype="float32")
