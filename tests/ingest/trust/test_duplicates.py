"""Near-duplicates and features of texts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.trust.duplicates import SHINGLE, group_duplicates, signature, similarity
from ingest.trust.texts import mean_by_group, text_features

SENTENCE = "The tide comes twice a day because the moon pulls the sea towards it and the earth turns underneath."


def shingles(text: str) -> set[str]:
    return {text[i : i + SHINGLE] for i in range(len(text) - SHINGLE + 1)}


def test_similarity_estimates_jaccard() -> None:
    one, other = SENTENCE.lower(), (SENTENCE[:70] + " and nobody knows why it should be so").lower()
    jaccard = len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))
    assert similarity(signature(one), signature(other)) == pytest.approx(jaccard, abs=0.19)  # three standard errors


def test_case_and_spacing_do_not_count() -> None:
    assert similarity(signature("A  Tide\nturns"), signature("a tide turns")) == 1.0


@given(st.text(max_size=30))
def test_every_text_has_a_signature(text: str) -> None:
    assert similarity(signature(text), signature(text)) == 1.0


def test_answers_group_when_prompt_and_answer_are_alike() -> None:
    prompt, other = "Why does the sea have tides twice a day?", "Write a poem about an old harbour at night."
    prompts = [prompt, prompt + " ", other, prompt, "", ""]
    answers = [SENTENCE, SENTENCE.replace("twice", "Twice"), SENTENCE, "Nobody knows, and I shall not guess.", "", ""]
    assert group_duplicates(prompts, answers, 0.8).tolist() == [0, 0, 1, 2, 3, 4]


def test_features_tell_kinds_of_answers_apart() -> None:
    texts = [f"short clear friendly answer number {i}" for i in range(15)]
    texts += [f"long formal careful treatise number {i}" for i in range(15)] + [""]
    features = text_features(texts, 4, 0)
    assert features.shape == (31, 4)
    assert np.abs(features[30]).max() == 0.0
    np.testing.assert_allclose(features[:30].std(axis=0), 1.0, atol=1e-6)
    side = features[:30] @ (features[:15].mean(axis=0) - features[15:30].mean(axis=0))
    assert side[:15].min() > side[15:].max()
    np.testing.assert_array_equal(features, text_features(texts, 4, 0))


def test_too_few_texts_have_no_features() -> None:
    assert text_features(["one", "two"], 8, 0).shape == (2, 0)
    assert text_features([f"w{i}" for i in range(30)], 8, 0).shape == (30, 0)  # no word stands in two of them


def test_a_group_has_the_mean_of_its_features() -> None:
    features = np.array([[1.0], [3.0], [5.0]])
    assert mean_by_group(features, np.array([0, 0, 1]), 3)[:, 0].tolist() == [2.0, 5.0, 0.0]
