"""Rewards as training reads them, and as probabilities again."""

import numpy as np
import pytest
import torch

from policy_update.objectives import assemble, predicted_rates


def test_probabilities_come_back_and_what_is_none_stays_out() -> None:
    scores = np.array([[0.2, 0.01, 3.0], [0.7, 0.05, -1.0]])
    names = ("love", "harm", "utility", "coherence")
    made = assemble(names, ("love", "harm", "utility"), scores, np.zeros((2, 3)), {"coherence": torch.zeros(2)})
    rewards = {name: made.column(name) for name in names}
    found = predicted_rates(rewards, ("love", "harm", "utility"))
    assert set(found) == {"love", "harm"}
    assert found["love"] == pytest.approx([0.2, 0.7])
    assert found["harm"] == pytest.approx([0.01, 0.05])
