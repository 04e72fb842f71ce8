"""Pooled hidden states against transformers' own output of hidden states."""

import pytest
import torch

from infra.models.features import pooled_hidden_states
from infra.models.loading import LoadedModel


def test_features_equal_a_direct_computation(tiny_loaded: LoadedModel) -> None:
    sequences, starts = [[1, 5, 6, 7, 8], [1, 9, 10], [1, 20, 21, 22, 23, 24, 25]], [2, 2, 4]
    features = pooled_hidden_states(tiny_loaded, sequences, starts, [0, 1, -1], micro_batch=2)
    assert features.shape == (3, 3 * 2 * 32)
    for row, (sequence, start) in enumerate(zip(sequences, starts, strict=True)):
        embedding = tiny_loaded.model.model.embed_tokens(torch.tensor(sequence))
        states = tiny_loaded.model(torch.tensor([sequence]), output_hidden_states=True).hidden_states
        for place, layer in enumerate((embedding, states[1][0])):
            answer = layer[start:]
            expected = torch.cat([answer.mean(0), answer[-1]])
            assert torch.allclose(features[row, place * 64 : (place + 1) * 64], expected, atol=1e-5)


def test_padding_changes_nothing(tiny_loaded: LoadedModel) -> None:
    sequences, starts = [[1, 5, 6], [1, 9, 10, 11, 12, 13, 14, 15]], [1, 3]
    together = pooled_hidden_states(tiny_loaded, sequences, starts, [2])
    alone = [pooled_hidden_states(tiny_loaded, [s], [b], [2]) for s, b in zip(sequences, starts, strict=True)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_an_answer_without_tokens_has_the_last_prompt_token(tiny_loaded: LoadedModel) -> None:
    empty = pooled_hidden_states(tiny_loaded, [[1, 5, 6]], [3], [2])
    assert torch.equal(empty, pooled_hidden_states(tiny_loaded, [[1, 5, 6]], [2], [2]))
    assert torch.allclose(empty[0, :32], empty[0, 32:])


def test_wrong_input_is_named(tiny_loaded: LoadedModel) -> None:
    with pytest.raises(ValueError, match="layers"):
        pooled_hidden_states(tiny_loaded, [[1]], [0], [3])
    with pytest.raises(ValueError, match="tokens"):
        pooled_hidden_states(tiny_loaded, [[]], [0], [1])


def test_opening_is_the_mean_of_the_first_tokens(tiny_loaded: LoadedModel) -> None:
    sequence = [[5, 6, 7, 8, 9, 10]]
    whole = pooled_hidden_states(tiny_loaded, sequence, [2], [1], opening=2)
    width = whole.shape[1] // 3
    assert torch.equal(whole[:, : 2 * width], pooled_hidden_states(tiny_loaded, sequence, [2], [1]))
    # A causal model sees nothing of what follows: the opening is the mean of an answer that ends there.
    cut = pooled_hidden_states(tiny_loaded, [sequence[0][:4]], [2], [1])
    assert torch.allclose(whole[:, 2 * width :], cut[:, :width], atol=1e-5)
