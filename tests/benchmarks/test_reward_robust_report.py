"""The page is made of its figures: means by hand, intervals around them, misses named as missed."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.reward_contest import CONTENDERS, Cell
from tests.benchmarks.reward_robust_report import Figures, cell_figures, write

LOSSES = [c.loss for c in CONTENDERS] + ["bt on majorities", "repo_em", "huber_bt", "huber_bt, told"]


@dataclass(frozen=True)
class Task:
    what: str
    name: str
    kind: str = "random"
    level: float = 0.0
    seeds: int = 1


def figures(gain: float, told: float, estimated: float = 0.3) -> Figures:
    rng = np.random.default_rng(0)
    plain = (rng.random(400) < 0.6).astype(float)
    better = plain.copy()
    better[np.flatnonzero(plain == 0)[: round(400 * gain)]] = 1.0
    best = plain.copy()
    best[np.flatnonzero(plain == 0)[: round(400 * told)]] = 1.0
    right = dict.fromkeys(LOSSES, plain) | {"huber_bt": better, "huber_bt, told": best}
    seeds = {name: [float(r.mean())] for name, r in right.items()}
    return cell_figures(Cell(right, seeds, [estimated, 0.32], [0.3, 0.3], [0.9]), np.arange(400) // 2)


def test_a_cell_by_hand() -> None:
    found = figures(0.05, 0.1)
    assert found.losses["huber_bt"].gain == pytest.approx(0.05)
    assert 0.0 < found.losses["huber_bt"].low < 0.05 < found.losses["huber_bt"].high
    assert found.losses["bt"].low == found.losses["bt"].high == 0.0
    assert found.won_back is not None
    assert found.won_back[0] == pytest.approx(0.5)
    assert found.largest_error == pytest.approx(0.02)
    assert found.area == 0.9
    assert figures(0.0, 0.0).won_back is None


def test_the_page_says_what_was_met_and_what_was_missed(tmp_path: Path) -> None:
    attack = {"bt": 0.9, "huber_bt": 0.95, "told": 0.97, "area": 1.0, "estimated": 0.3, "realised": 0.2}
    product = {"bt": 0.6, "huber_bt": 0.6, "pairs": 9.0, "estimated": 0.3, "low": 0.2, "high": 0.4, "realised": 0.3}
    results = [
        (Task("cell", "hh-rlhf"), figures(0.0, 0.0)),
        (Task("cell", "hh-rlhf", "person", 0.4), figures(0.05, 0.1)),
        (Task("attack", "inverted"), attack),
        (Task("product", "hh-rlhf", "person", 0.4), product),
    ]
    page = tmp_path / "page.md"
    write(page, results, 20, 90.0)
    text = page.read_text(encoding="utf-8")
    assert "interval above zero at one or more of 20, 30, 40 % on each set | hh-rlhf: person 40% | met" in text
    assert "below: hh-rlhf person 40%: 50% | MISSED" in text
    assert "accuracy under attack at least .96, worst seed | 0.9500 | MISSED" in text
    assert "AUROC of coordinated accounts at least .95, worst seed | 1.000 | met" in text
    assert "| gce |" in text
    kept = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert kept["results"][1]["result"]["losses"]["huber_bt"]["gain"] == pytest.approx(0.05)
