"""Parameters out of range are named, with their row where there is one."""

import pytest
import torch

from reward_model.losses import InvalidLoss, NoiseParameters


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flip_rate", 0.5),
        ("flip_rate", -0.1),
        ("flip_rate", float("nan")),
        ("threshold", 1.0),
        ("threshold", float("inf")),
        ("threshold", float("nan")),
        ("exponent", 0.0),
        ("exponent", 1.1),
        ("ropo_alpha", 0.0),
        ("huber_delta", -1.0),
        ("tie_ratio", 1.0),
        ("reliability", 1.01),
        ("posterior", torch.tensor([0.5, float("nan")])),
    ],
)
def test_out_of_range(field: str, value: object) -> None:
    with pytest.raises(InvalidLoss, match=field) as caught:
        NoiseParameters(**{field: value})  # type: ignore[arg-type]
    assert caught.value.field == field


def test_the_wrong_row_of_a_flip_rate_is_named() -> None:
    with pytest.raises(InvalidLoss, match=r"flip_rate is 0.5 in row 2"):
        NoiseParameters(torch.tensor([0.0, 0.49, 0.5]))


def test_bounds_that_belong() -> None:
    NoiseParameters(0.0, 1.0001, exponent=1.0, reliability=0.0, posterior=torch.tensor([0.0, 1.0]))
    assert NoiseParameters(0.2).held_rate == 0.8
    assert NoiseParameters(0.2, reliability=0.3).held_rate == 0.3
    assert NoiseParameters(torch.tensor([0.25])).one_flip_rate == 0.25
    with pytest.raises(InvalidLoss, match="one is needed"):
        _ = NoiseParameters(torch.tensor([0.1, 0.2])).one_flip_rate
