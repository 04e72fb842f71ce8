"""Concentration, by hand."""

import numpy as np
import pytest

from ingest.trust.concentration import concentration


def test_equal_people() -> None:
    found = concentration(np.full(20, 3.0))
    assert (found.people, found.mass) == (20, 60.0)
    assert (found.effective, found.top_share, found.gini) == pytest.approx((20.0, 0.5, 0.0))


def test_one_person_has_nearly_all() -> None:
    found = concentration(np.array([97.0, 1.0, 1.0, 1.0, 0.0]))
    assert found.people == 4  # whoever weighs nothing taught nothing
    assert found.effective == pytest.approx(100.0**2 / (97.0**2 + 3))
    # mean absolute difference / (2 mean): 6 ordered pairs with 96 out of 16, mean 25
    assert found.gini == pytest.approx(6 * 96 / 16 / (2 * 25))


def test_nobody() -> None:
    assert concentration(np.zeros(3)).effective == 0.0
