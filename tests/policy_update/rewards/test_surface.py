import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_update.rewards.batch import InvalidReward
from policy_update.rewards.surface import length, repeated_share, repetition
from tests.policy_update.rewards.builders import batch


def test_repetition_by_hand() -> None:
    # "a b a b a": trigrams aba, bab, aba -> one of three was there before; fewer than three words have no trigram.
    assert repetition(3)(batch(["a b a b a", "A  B a b A", "a b"])) == pytest.approx([-1 / 3, -1 / 3, 0.0])
    assert repetition(1)(batch(["no no no no"])) == pytest.approx([-0.75])


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 4))
def test_a_repeated_text_repeats_more(words: list[str], n: int) -> None:
    assert 0.0 <= repeated_share(words, n) <= repeated_share(words * 2, n) + 1e-12 or len(words) < n


def test_length_by_hand() -> None:
    rows = batch(["x"] * 4, tokens=[10, 20, 30, 90])
    assert length(target=20)(rows) == pytest.approx([-0.5, 0.0, -0.5, -1.0])
    assert length(budget=20)(rows) == pytest.approx([0.0, 0.0, -0.5, -1.0])
    assert length(budget=20, slope=0.01)(rows) == pytest.approx([0.0, 0.0, -0.1, -0.7])


@given(st.integers(1, 100), st.lists(st.integers(1, 400), min_size=1, max_size=8))
def test_length_is_bounded_and_best_at_the_target(target: int, tokens: list[int]) -> None:
    found = length(target=target)(batch(["x"] * len(tokens), tokens=tokens))
    assert ((found >= -1.0) & (found <= 0.0)).all()
    assert ((found == 0.0) == (np.array(tokens) == target)).all()


@pytest.mark.parametrize("given_", [{}, {"target": 5, "budget": 5}, {"target": 5, "slope": -1.0}])
def test_length_wants_one_aim(given_: dict[str, float]) -> None:
    with pytest.raises(InvalidReward, match="length: "):
        length(**given_)  # type: ignore[arg-type]


def test_repetition_wants_n() -> None:
    with pytest.raises(InvalidReward, match="n is 0"):
        repetition(0)
