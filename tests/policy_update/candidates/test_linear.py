"""Combinations are exact in the products; a cut rank is the best there is."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policy_update.candidates.linear import Pair, combine, of_rank, squared_norm


def pair(seed: int, rank: int, inputs: int = 5, outputs: int = 6) -> Pair:
    generator = torch.Generator().manual_seed(seed)
    return Pair(torch.randn(rank, inputs, generator=generator), torch.randn(outputs, rank, generator=generator))


def product(one: Pair) -> torch.Tensor:
    return one.b.double() @ one.a.double()


def test_a_combination_by_hand() -> None:
    one = {"q": Pair(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [0.0]]))}
    two = {"q": Pair(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0], [4.0]])), "v": pair(0, 1)}
    found = combine([(0.5, one), (0.25, two)])
    assert product(found["q"]).tolist() == [[1.5, 3.0], [0.0, 1.0]]
    assert torch.allclose(product(found["v"]), 0.25 * product(two["v"]))


@given(
    st.lists(st.tuples(st.floats(-2, 2), st.integers(1, 4), st.integers(0, 1000)), min_size=1, max_size=4),
)
def test_the_product_of_the_combination_is_the_combination_of_the_products(
    parts: list[tuple[float, int, int]],
) -> None:
    made = [(c, {"x": pair(seed, rank)}) for c, rank, seed in parts]
    expected = sum((c * product(layers["x"]) for c, layers in made), torch.zeros(6, 5, dtype=torch.float64))
    found = combine(made)
    got = product(found["x"]) if found else torch.zeros(6, 5, dtype=torch.float64)
    assert torch.allclose(got, expected, atol=1e-4)


def test_averaging_the_factors_would_be_something_else() -> None:
    one, two = pair(1, 2), pair(2, 2)
    factors = Pair((one.a + two.a) / 2, (one.b + two.b) / 2)
    mean = (product(one) + product(two)) / 2
    assert torch.allclose(product(combine([(0.5, {"x": one}), (0.5, {"x": two})])["x"]), mean, atol=1e-5)
    assert (product(factors) - mean).norm() > 0.3 * mean.norm()


@pytest.mark.parametrize("rank", [1, 3, 4, 7])
def test_a_rank_cut_is_the_best_and_its_loss_is_told(rank: int) -> None:
    whole = {"x": pair(3, 4), "y": pair(4, 2)}
    cut, lost = of_rank(whole, rank)
    assert all(one.a.shape[0] == one.b.shape[1] == rank for one in cut.values())
    squares = {name: torch.linalg.svdvals(product(one)).square() for name, one in whole.items()}
    tail = sum(float(values[rank:].sum()) for values in squares.values())
    total = sum(float(values.sum()) for values in squares.values())
    assert lost == pytest.approx(tail / total, abs=1e-6)
    off = sum(float((product(cut[name]) - product(whole[name])).square().sum()) for name in whole)
    assert off == pytest.approx(tail, abs=1e-4)


def test_the_norm_needs_no_product() -> None:
    assert float(squared_norm(pair(5, 3))) == pytest.approx(float(product(pair(5, 3)).square().sum()))
