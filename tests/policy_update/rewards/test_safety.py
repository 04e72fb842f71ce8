"""The lexicon finds whole phrases; the classifier says the probability of its label."""

from pathlib import Path

import pytest

from policy_update.rewards.batch import InvalidReward
from policy_update.rewards.safety import classifier, lexicon
from tests.policy_update.rewards.builders import batch


def test_whole_phrases_whatever_their_case_and_spacing(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("# what we never say\n\nget rich quick\n", encoding="utf-8")
    reward = lexicon(words=["cure"], file=str(tmp_path / "words.txt"))
    texts = ["A CURE for all", "a secure cured ham", "Get  rich\nquick!", "get richer quick", ""]
    assert reward(batch(texts)).tolist() == [-1.0, 0.0, -1.0, 0.0, 0.0]
    assert lexicon(words=["cure"], cost=True)(batch(texts)).tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_signs_in_a_phrase_are_no_pattern() -> None:
    assert lexicon(words=["a.c", "(x)"])(batch(["abc", "a.c", "f (x) = 1"])).tolist() == [0.0, -1.0, -1.0]


def test_nothing_to_look_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidReward, match="neither words nor file"):
        lexicon()
    with pytest.raises(InvalidReward, match="cannot be read"):
        lexicon(file=str(tmp_path / "none.txt"))


@pytest.fixture(scope="module")
def classifier_dir(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Path:
    """A tiny random classifier of two labels on the tiny tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    folder = tmp_path_factory.mktemp("classifier")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_labels=2,
        id2label={0: "fine", 1: "Toxic"},
        label2id={"fine": 0, "Toxic": 1},
        pad_token_id=2,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_classifier_says_minus_the_probability(classifier_dir: Path) -> None:
    texts = ["What is the capital?", "Oslo.", "Keep your room dark and cool."]
    toxic = classifier(model=str(classifier_dir), label="toxic")(batch(texts))
    fine = classifier(model=str(classifier_dir), label="fine", batch_size=1)(batch(texts))
    assert toxic + fine == pytest.approx([-1.0] * 3, abs=1e-5)
    cost = classifier(model=str(classifier_dir), label="toxic", cost=True)(batch(texts))
    assert cost == pytest.approx(-toxic, abs=1e-5)
    assert len(set(toxic.round(4))) == 3


def test_a_missing_classifier_or_label_is_named(classifier_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidReward, match="no model folder"):
        classifier(model=str(tmp_path), label="toxic")
    with pytest.raises(InvalidReward, match="knows no label 'rude'; it has fine, toxic"):
        classifier(model=str(classifier_dir), label="rude")
