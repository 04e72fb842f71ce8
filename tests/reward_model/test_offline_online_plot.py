"""The scatter is a PNG with something on it, for many candidates, few and none."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from reward_model.offline_online import offline_online
from reward_model.offline_online_plot import scatter
from tests.reward_model.test_offline_online import past


@pytest.mark.parametrize("count", [0, 4, 14])
def test_a_picture_is_drawn(tmp_path: Path, count: int) -> None:
    path = scatter(tmp_path / "points.png", offline_online(past(count)))
    pixels = imread(path)[..., :3]
    assert pixels.shape == (700, 900, 3)
    blue = np.abs(pixels - np.array([0.0, 0.447, 0.698])).max(-1) < 0.05
    assert (blue.sum() > 50 * count) if count else not blue.any()


def test_the_line_needs_points_enough(tmp_path: Path) -> None:
    orange = np.array([0.835, 0.369, 0.0])
    shown = [
        int(
            (
                np.abs(imread(scatter(tmp_path / f"{n}.png", offline_online(past(n))))[..., :3] - orange).max(-1) < 0.1
            ).sum()
        )
        for n in (4, 14)
    ]
    assert shown[0] == 0
    assert shown[1] > 300
