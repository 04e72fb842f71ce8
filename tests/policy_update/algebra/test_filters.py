"""Which tokens take part."""

import torch

from policy_update.algebra.filters import every_token, untruncated


def test_by_hand() -> None:
    mask = torch.tensor([[1, 1], [1, 0]])
    assert every_token(mask).tolist() == [[True, True], [True, False]]
    assert untruncated(mask, torch.tensor([True, False])).tolist() == [[False, False], [True, False]]
