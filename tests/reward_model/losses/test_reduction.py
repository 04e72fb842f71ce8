"""The weighted mean by hand, and every wrong row named."""

import math

import pytest
import torch

from reward_model.losses import InvalidMargin, check_margins, mean_loss

LN3 = math.log(3.0)
NAN, INF = float("nan"), float("inf")


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_by_hand() -> None:
    """Weights 1 and 3 on -log 3/4 and -log 1/4; then half a tie; then a margin that eats the difference."""
    z, v = column(LN3, -LN3), column(1.0, 3.0)
    assert float(mean_loss(z, v)) == pytest.approx((math.log(4 / 3) + 3 * math.log(4)) / 4)
    soft = mean_loss(z[:1], v[:1], soft=column(0.5))
    assert float(soft) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert float(mean_loss(z[:1], v[:1], margins=column(LN3))) == pytest.approx(math.log(2))


def test_no_weight_at_all_is_no_loss() -> None:
    z = column(1.0, 2.0).requires_grad_(True)
    found = mean_loss(z, column(0.0, 0.0))
    (gradient,) = torch.autograd.grad(found, z)
    assert float(found.detach()) == 0.0
    assert gradient.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("wrong", [NAN, INF, -INF])
def test_a_margin_that_is_not_finite_is_named(wrong: float) -> None:
    z, v = column(0.1, wrong, 0.3), column(1.0, 1.0, 1.0)
    with pytest.raises(InvalidMargin, match=r"margins: row 1 is (nan|inf|-inf)") as caught:
        mean_loss(z, v)
    assert caught.value.field == "margins"
    with pytest.raises(InvalidMargin, match=r"row 1 \(pair-b\)"):
        mean_loss(z, v, rows=["pair-a", "pair-b", "pair-c"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": column(1.0, NAN)}, r"weights: row 1 is nan"),
        ({"weights": column(-1.0, 1.0)}, r"weights: row 0 is -1"),
        ({"weights": column(1.0)}, r"weights has shape \(1,\), the margins z \(2,\)"),
        ({"soft": column(0.5, 1.5)}, r"soft: row 1 is 1.5"),
        ({"soft": column(NAN, 0.5)}, r"soft: row 0 is nan"),
        ({"margins": column(0.0, INF)}, r"required margins: row 1 is inf"),
    ],
)
def test_other_wrong_rows_are_named(change: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(InvalidMargin, match=message):
        mean_loss(**({"z": column(0.1, 0.2), "weights": column(1.0, 1.0)} | change))


def test_a_table_of_margins_names_the_first_wrong_row() -> None:
    check_margins(torch.zeros(3, 2))
    with pytest.raises(InvalidMargin, match=r"row 2 is \[0.0, nan\]"):
        check_margins(torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, NAN], [NAN, NAN]]))
    with pytest.raises(InvalidMargin, match="row 0 is nan"):
        check_margins(torch.tensor(NAN))
