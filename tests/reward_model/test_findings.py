"""What an evaluation found, for registries, databases and people."""

import json
import math
from enum import StrEnum
from typing import Any

import numpy as np

from reward_model.findings import flat_of, lines_of, plain


class Colour(StrEnum):
    RED = "red"


def document() -> dict[str, Any]:
    interval = {"estimate": 0.9, "low": 0.8, "high": 0.95, "count": 40, "groups": 20}
    return {
        "judgments": 12,
        "heads": {"love": {"judgments": 12, "auroc": 0.7}},
        "calibration": {
            "love": {
                "calibrated": True,
                "error": 0.02,
                "error_by_person": 0.025,
                "skill": 0.1,
                "skill_low": 0.0,
                "skill_high": 0.2,
                "p_value": None,
            }
        },
        "slices": {"love": [{"label": "a"}]},
        "current_policy": {
            "adapter": "loop@1",
            "heads": {
                "love": {"judgments": 5, "auroc": 0.65},
                "utility": {"judgments": 9, "accuracy": {"estimate": 0.6}},
                "dwell": {"judgments": 0},
            },
        },
        "new_people": {},
        "best_of_n": {"prompts": 11, "points": [{"n": 1, "mean": 0.2}, {"n": 2, "mean": 0.3}]},
        "drift": {
            "scores": [{"name": "love", "psi": 0.3}],
            "rates": [{"name": "love", "difference": math.nan}],
            "reasons": ["score love: PSI 0.30"],
        },
        "disagreement": {"head": "utility", "rank_correlation": interval, "flips": None, "most_changed": ["r1#0"]},
    }


def test_numbers_have_names_and_are_finite() -> None:
    flat = flat_of(document())
    assert flat["evaluation.heads.love.auroc"] == 0.7
    assert flat["evaluation.calibration.love.error"] == 0.02
    assert flat["evaluation.best_of_n.2"] == 0.3
    assert flat["evaluation.drift.psi.love"] == 0.3
    assert "evaluation.drift.rate.love" not in flat, "NaN is no number"
    assert "evaluation.calibration.love.calibrated" not in flat, "nor is a yes"
    assert not any("slices" in name for name in flat)


def test_lines_are_for_people() -> None:
    lines = lines_of(document())
    assert lines[0].startswith("love: calibrated (debiased error 0.020, 0.025 were questions fixed, Brier")
    assert "love on answers of loop@1, which is served: AUROC 0.650 on 5 labels" in lines
    assert "utility on answers of loop@1, which is served: 60.0% of 9 pairs ordered as people did" in lines
    assert not any(line.startswith("dwell") for line in lines)
    assert "drift since the training window: score love: PSI 0.30" in lines
    assert lines[-1] == "utility against the champion's: rank correlation 0.900"
    quiet = document() | {"disagreement": None, "best_of_n": None}
    quiet["drift"]["reasons"] = []
    assert lines_of(quiet)[-1] == "drift since the training window: none shown"


def test_plain_documents_go_into_every_database() -> None:
    found = plain({"a": (math.inf, np.float64(0.5), np.int64(3)), Colour.RED: Colour.RED, "b": [math.nan, None, True]})
    assert found == {"a": [None, 0.5, 3], "red": "red", "b": [None, None, True]}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
