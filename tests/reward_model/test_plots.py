"""Pictures: real PNG files of the promised size that show what they are given, also when there is nothing to show."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from reward_model import plots
from reward_model.best_of_n import BestOfN, curve
from reward_model.comparison import clustered_comparison
from reward_model.drift import Drift, Window, drift
from reward_model.evaluation import InvalidEvaluation
from reward_model.slices import mean_of, sliced

RNG = np.random.default_rng(0)
LOSSES = [
    plots.LossRow("bt", 0.62, 0.60, 0.64),
    plots.LossRow("huber_bt", 0.645, 0.625, 0.665, (0.025, 0.01, 0.04)),
]


def _reliability(path: Path) -> Path:
    p = RNG.beta(2, 8, 400)
    y = (RNG.random(400) < p).astype(float)
    return plots.reliability_diagram(path, p, y, np.ones(400), title="love", note="ECE 0.02")


def _best_of_n(path: Path) -> Path:
    truth = RNG.normal(size=(40, 8))
    found = curve(truth + RNG.normal(size=truth.shape), truth, [1, 2, 8], resamples=50)
    return plots.best_of_n_curve(path, {"challenger": found, "none": BestOfN((), (), 0, 3)}, title="best of n")


def _slices(path: Path) -> Path:
    found = sliced(mean_of(RNG.random(90), np.ones(90)), {"s": ["a"] * 60 + ["b"] * 30}, list(range(90)), resamples=50)
    return plots.slices_chart(path, found, title="slices", metric="accuracy", whole=0.9)


def _disagreement(path: Path) -> Path:
    return plots.disagreement_chart(path, RNG.random(50), RNG.random(50), title="ranks", flipped=np.arange(50) < 5)


def _drift(path: Path) -> Path:
    def window(moved: float) -> Window:
        scores, labels = {"love": RNG.normal(size=200) + moved}, {"love": RNG.random(200) + moved}
        return Window(list(range(200)), scores, labels, RNG.normal(size=(200, 3)))

    return plots.drift_chart(path, drift(window(0.0), window(1.0)), title="drift")


def _losses(path: Path) -> Path:
    return plots.loss_table(path, LOSSES, title="losses", chosen="huber_bt", note="400 pairs")


def _comparison(path: Path) -> Path:
    loss = RNG.random(200)
    found = clustered_comparison(loss - 0.1, loss + 0.01 * RNG.random(200), list(range(200)), resamples=100)
    return plots.comparison_chart(path, {"love": found}, title="challenger")


EMPTY: dict[str, Callable[[Path], Path]] = {
    "best of n": lambda path: plots.best_of_n_curve(path, {}, title="t"),
    "slices": lambda path: plots.slices_chart(path, (), title="t", metric="m", whole=0.5),
    "drift": lambda path: plots.drift_chart(path, Drift((), (), (), ()), title="t"),
    "comparison": lambda path: plots.comparison_chart(
        path, {"love": clustered_comparison(np.zeros(0), np.zeros(0), [])}, title="t"
    ),
    "nothing compared": lambda path: plots.comparison_chart(path, {}, title="t"),
    "losses": lambda path: plots.loss_table(path, [], title="t", chosen="bt"),
    "one answer": lambda path: plots.disagreement_chart(path, np.ones(1), np.ones(1), title="t"),
}


def size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


@pytest.mark.parametrize(
    "draw", [_reliability, _best_of_n, _slices, _disagreement, _drift, _losses, _comparison, *EMPTY.values()]
)
def test_a_picture_is_written_where_it_is_said(draw: Callable[[Path], Path], tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "picture.png"
    assert draw(path) == path
    assert size(path) == (900, 600)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written."""
    figures: list[Figure] = []
    write = Figure.savefig

    def keep(figure: Figure, *args: object, **more: object) -> None:
        figures.append(figure)
        write(figure, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_the_numbers_are_in_the_picture(drawn: list[Figure], tmp_path: Path) -> None:
    _losses(tmp_path / "p.png")
    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["huber_bt (chosen)", "bt"]
    words = " ".join(text.get_text() for text in axes.texts)
    assert "64.5%   +2.5 (+1.0 to +4.0)" in words
    assert "62.0%" in words
    diamond = next(line for line in axes.lines if line.get_marker() == "D")
    assert diamond.get_xdata()[0] == 0.645


def test_bins_of_the_reliability_diagram_by_hand(drawn: list[Figure], tmp_path: Path) -> None:
    p, y = np.array([0.2, 0.2, 0.6, 0.8]), np.array([0.0, 1.0, 1.0, 0.0])
    plots.reliability_diagram(tmp_path / "p.png", p, y, np.array([1.0, 1.0, 1.0, 3.0]), title="t", bins=2)
    points = next(line for line in drawn[0].axes[0].lines if line.get_marker() == "o")
    assert points.get_xdata().tolist() == pytest.approx([0.2, 0.75])
    assert points.get_ydata().tolist() == pytest.approx([0.5, 0.25])


def test_long_lists_are_cut_and_say_so(drawn: list[Figure], tmp_path: Path) -> None:
    labels = [f"group {i:02d}" for i in range(30) for _ in range(30)]
    found = sliced(mean_of(RNG.random(900), np.ones(900)), {"s": labels}, list(range(900)), resamples=20)
    plots.slices_chart(tmp_path / "p.png", found, title="t", metric="m")
    assert len(drawn[0].axes[0].get_yticklabels()) == 22
    assert "8 more slices" in drawn[0].get_supxlabel()


def test_no_label_is_no_diagram(tmp_path: Path) -> None:
    with pytest.raises(InvalidEvaluation, match="at least one"):
        plots.reliability_diagram(tmp_path / "p.png", np.zeros(0), np.zeros(0), np.zeros(0), title="t")
