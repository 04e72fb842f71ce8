"""The fixed suite: what it holds, how it is scored, when it refuses."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from policy_update.gating.capability import Abilities, Item, answer_suite, capability, suite

if TYPE_CHECKING:
    from infra.models.loading import LoadedModel


def test_the_suite_is_a_few_dozen_well_formed_items() -> None:
    items = suite()
    assert 36 <= len(items) <= 96
    assert len({item.prompt for item in items}) == len(items)
    assert all(len(set(item.choices)) == len(item.choices) >= 2 for item in items)
    assert all(choice.strip() for item in items for choice in item.choices)
    assert len({item.kind for item in items}) >= 5


def test_scores_are_what_one_pass_a_row_gives(tiny_loaded: "LoadedModel") -> None:
    items = [Item("a", "One, two,", (" three", " a long way home")), Item("b", "The", (" cat", " dog", " sea"))]
    found = answer_suite(tiny_loaded, tiny_loaded.model, items)
    for item, score in zip(items, found, strict=True):
        means = [_mean_logprob(tiny_loaded, item.prompt, choice) for choice in item.choices]
        expected = np.exp(means[0]) / np.exp(means).sum()
        assert score == pytest.approx(expected, abs=1e-5)


def _mean_logprob(loaded: "LoadedModel", prompt: str, ending: str) -> float:
    before = loaded.tokenizer(prompt, add_special_tokens=False).input_ids
    after = loaded.tokenizer(ending, add_special_tokens=False).input_ids
    with torch.no_grad():
        logprobs = loaded.model(torch.tensor([before + after])).logits[0].log_softmax(-1)
    places = range(len(before) - 1, len(before) + len(after) - 1)
    return float(np.mean([float(logprobs[place, token]) for place, token in zip(places, after, strict=True)]))


def test_the_whole_suite_runs_on_any_model(tiny_loaded: "LoadedModel") -> None:
    found = answer_suite(tiny_loaded, tiny_loaded.model, suite())
    assert found.shape == (len(suite()),)
    assert ((found > 0) & (found < 1)).all()


def abilities(fall: float) -> Abilities:
    base = np.linspace(0.4, 0.9, 24)
    return Abilities(("fact", "word") * 12, base - fall, base)


def test_a_small_fall_passes_a_large_one_does_not() -> None:
    held, fell = capability(abilities(0.02), 0.05, 0.95), capability(abilities(0.08), 0.05, 0.95)
    assert (held.passed, fell.passed) == (True, False)
    assert fell.value == pytest.approx(-0.08)
    assert fell.limit == -0.05
    assert "most lost: fact -0.080" in fell.reason


def test_an_answer_that_is_no_number_refuses() -> None:
    found = abilities(0.0)
    found.candidate[3] = np.nan
    assert not capability(found, 0.05, 0.95).passed
