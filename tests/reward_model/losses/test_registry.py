"""What holds for every loss: gradients, invariances, swaps, batches of any size, ties, extremes."""

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from infra.settings.reward_model import LossName
from reward_model.losses import LOSSES, InvalidLoss, InvalidMargin, NoiseParameters, graded_loss, mean_loss, pair_loss
from tests.reward_model.losses.cases import ALL, SETTINGS, noise_for

TWO_SIDED = [name for name in ALL if name != "vrpo"]
"""`vrpo` knows the order of each pair, and takes hard labels."""
PAIRS = st.lists(st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.floats(0.01, 5.0)), min_size=1, max_size=12)


def columns(pairs: list[tuple[float, float, float]]) -> tuple[Tensor, Tensor, Tensor]:
    first, second, weights = torch.tensor(pairs, dtype=torch.float64).T
    return first, second, weights


def test_the_registry_holds_what_the_project_promises() -> None:
    assert tuple(sorted(LOSSES)) == ALL


def test_settings_take_every_loss_that_a_training_can_use() -> None:
    assert set(get_args(LossName)) == set(LOSSES) - {"vrpo"}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("fields", SETTINGS)
def test_gradients_agree_with_finite_differences(name: str, fields: dict[str, float]) -> None:
    z = torch.tensor([-9.0, -3.1, -0.7, 0.2, 1.9, 6.0], dtype=torch.float64, requires_grad=True)
    noise = noise_for(name, z.shape, **fields)
    assert torch.autograd.gradcheck(lambda x: pair_loss(name)(x, noise), (z,))


@pytest.mark.parametrize("name", TWO_SIDED)
def test_gradients_of_soft_labels_and_margins_agree_with_finite_differences(name: str) -> None:
    z = torch.tensor([-9.0, -3.1, -0.7, 0.2, 1.9, 6.0], dtype=torch.float64, requires_grad=True)
    soft = torch.tensor([1.0, 0.9, 0.5, 0.3, 0.0, 0.75], dtype=torch.float64)
    margins = torch.tensor([0.0, 0.2, -0.1, 0.3, 0.4, 1.1], dtype=torch.float64)
    noise = NoiseParameters(0.2, 3.0)
    assert torch.autograd.gradcheck(lambda x: graded_loss(name)(x, noise, soft, margins), (z,))


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None, max_examples=15)
@given(pairs=PAIRS, shift=st.floats(-100, 100))
def test_only_differences_count(name: str, pairs: list[tuple[float, float, float]], shift: float) -> None:
    first, second, weights = columns(pairs)
    noise = noise_for(name, first.shape, flip_rate=0.1, threshold=3.0)
    there = mean_loss((first + shift) - (second + shift), weights, name, noise)
    assert float(there) == pytest.approx(float(mean_loss(first - second, weights, name, noise)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", TWO_SIDED)
@settings(deadline=None, max_examples=15)
@given(pairs=PAIRS, data=st.data())
def test_swapping_the_answers_changes_nothing(name: str, pairs: list[tuple[float, float, float]], data) -> None:  # type: ignore[no-untyped-def]
    """z -> -z with y -> 1 - y and m -> -m: same loss, opposite pull."""
    first, second, _ = columns(pairs)
    soft = torch.tensor(data.draw(st.lists(st.floats(0, 1), min_size=len(pairs), max_size=len(pairs)))).double()
    margins = torch.tensor(data.draw(st.lists(st.floats(-2, 2), min_size=len(pairs), max_size=len(pairs)))).double()
    noise, loss = NoiseParameters(0.15, 4.0), graded_loss(name)
    here = (first - second).requires_grad_(True)
    there = (second - first).requires_grad_(True)
    one, other = loss(here, noise, soft, margins), loss(there, noise, 1.0 - soft, -margins)
    assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)
    (up,) = torch.autograd.grad(one.sum(), here)
    (down,) = torch.autograd.grad(other.sum(), there)
    away = (here - margins).detach().abs()
    smooth = ((away - 1.0).abs() > 1e-6) & ((away - 0.5).abs() > 1e-6)
    assert torch.allclose(up[smooth], -down[smooth], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None, max_examples=15)
@given(pairs=PAIRS, factor=st.floats(1e-3, 1e3))
def test_the_scale_of_the_weights_does_not_matter(
    name: str, pairs: list[tuple[float, float, float]], factor: float
) -> None:
    first, second, weights = columns(pairs)
    noise = noise_for(name, first.shape, flip_rate=0.1)
    here = mean_loss(first - second, weights, name, noise)
    assert float(mean_loss(first - second, factor * weights, name, noise)) == pytest.approx(float(here), rel=1e-9)


@pytest.mark.parametrize("name", TWO_SIDED)
@settings(deadline=None, max_examples=15)
@given(pairs=PAIRS, seed=st.integers(0, 100))
def test_the_order_of_rows_does_not_matter(name: str, pairs: list[tuple[float, float, float]], seed: int) -> None:
    first, second, weights = columns(pairs)
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))
    z, noise = first - second, NoiseParameters(0.1, 3.0)
    # Not to the last bit: what is left over of the processor's vectors is computed by other functions.
    torch.testing.assert_close(
        pair_loss(name)(z, noise)[order], pair_loss(name)(z[order], noise), rtol=1e-12, atol=1e-15
    )
    here, there = mean_loss(z, weights, name, noise), mean_loss(z[order], weights[order], name, noise)
    assert float(here) == pytest.approx(float(there), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", TWO_SIDED)
def test_a_weight_of_two_is_the_row_twice(name: str) -> None:
    z = torch.tensor([0.4, -1.7, 2.2], dtype=torch.float64)
    noise, twice = NoiseParameters(0.1, 3.0), torch.tensor([0, 0, 1, 2])
    doubled = mean_loss(z, torch.tensor([2.0, 1.0, 1.0]).double(), name, noise)
    assert float(doubled) == pytest.approx(float(mean_loss(z[twice], torch.ones(4).double(), name, noise)), abs=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_empty_and_single_batches(name: str) -> None:
    empty = torch.zeros(0, dtype=torch.float64, requires_grad=True)
    none = mean_loss(empty, empty.detach(), name, noise_for(name, empty.shape))
    assert float(none.detach()) == 0.0
    (gradient,) = torch.autograd.grad(none, empty)
    assert gradient.shape == (0,)
    single = torch.tensor([0.7], dtype=torch.float64)
    noise = noise_for(name, single.shape, flip_rate=0.1)
    alone = mean_loss(single, torch.tensor([3.0]).double(), name, noise)
    assert float(alone) == pytest.approx(float(pair_loss(name)(single, noise)[0]), abs=1e-12)


@pytest.mark.parametrize("name", TWO_SIDED)
def test_all_ties_pull_nowhere(name: str) -> None:
    """Every record undecided: at equal utilities the gradient is zero."""
    z = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    half, noise = torch.full((5,), 0.5).double(), NoiseParameters(0.1, 3.0)
    (gradient,) = torch.autograd.grad(mean_loss(z, torch.ones(5).double(), name, noise, soft=half), z)
    assert torch.allclose(gradient, torch.zeros(5).double(), atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_extreme_margins_stay_finite(name: str) -> None:
    z = torch.tensor([-1e4, 1e4, -1e4, 1e4], dtype=torch.float64, requires_grad=True)
    for fields in SETTINGS:
        total = pair_loss(name)(z, noise_for(name, z.shape, **fields)).sum()
        (gradient,) = torch.autograd.grad(total, z)
        assert torch.isfinite(total)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_type_of_the_margins_is_kept(name: str, dtype: torch.dtype) -> None:
    z = torch.tensor([[-2.0, 0.5], [1.0, 3.0]], dtype=dtype)
    found = pair_loss(name)(z, noise_for(name, z.shape, flip_rate=0.1))
    assert found.dtype == dtype
    assert found.shape == z.shape


@pytest.mark.parametrize("name", ["bt", "forward_corrected", "huber_bt", "label_smoothed", "rdpo", "repo_em"])
def test_one_rate_a_row_keeps_the_type_and_is_each_rows_own(name: str) -> None:
    z, rates = torch.tensor([-2.0, 0.5, 1.0]), torch.tensor([0.0, 0.3, 0.1], dtype=torch.float64)
    found = pair_loss(name)(z, NoiseParameters(rates, 3.0))
    assert found.dtype == torch.float32
    alone = [float(pair_loss(name)(z[i], NoiseParameters(float(rates[i]), 3.0))) for i in range(3)]
    assert found.tolist() == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_nan_is_refused_and_its_row_named(name: str) -> None:
    z = torch.tensor([0.1, 0.2, float("nan"), 0.3], dtype=torch.float64)
    with pytest.raises(InvalidMargin, match="row 2 is nan"):
        mean_loss(z, torch.ones(4).double(), name, noise_for(name, z.shape))


def test_an_unknown_loss_names_the_known_ones() -> None:
    with pytest.raises(InvalidLoss, match=r"huberr.*bt, forward_corrected.*huber_bt"):
        pair_loss("huberr")
    with pytest.raises(InvalidLoss, match="huberr"):
        graded_loss("huberr")


@pytest.mark.parametrize("name", ["repo_em", "vrpo"])
def test_what_belongs_to_an_order_takes_no_soft_labels(name: str) -> None:
    z, soft = torch.zeros(2).double(), torch.ones(2).double()
    noise = NoiseParameters(posterior=soft) if name == "repo_em" else noise_for(name, z.shape)
    with pytest.raises(InvalidLoss, match="hard labels only"):
        graded_loss(name)(z, noise, soft, None)
