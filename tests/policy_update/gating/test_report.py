"""The picture and files of a verdict: what is drawn is what was measured."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.settings.policy_gate import GateSettings
from policy_update.gating.gate import judge
from policy_update.gating.report import (
    PICTURE_FILE,
    VERDICT_FILE,
    draw_gain,
    held_out_point,
    training_curve,
    write_artifacts,
)
from tests.policy_update.gating.synthetic import evidence, sampled


def document(kl: float = 0.1) -> dict[str, Any]:
    found = judge(evidence(sampled(love=1.5), sampled(seed=1), kl), GateSettings()).document()
    steps = [{"kl": 0.01 * i, "rewards": {"love": 0.3 * i, "relevance": 1.0}} for i in range(8)]
    return found | {"history": steps}


def test_the_curve_is_the_weighted_reward_on_the_champions_scale() -> None:
    found = document()
    spread = found["notes"]["spreads"]["love"]
    assert training_curve(found)[3] == (pytest.approx(0.03), pytest.approx(1.0 * 0.9 / spread))
    assert training_curve(found)[0] == (0.0, 0.0)


def test_the_point_is_the_examination() -> None:
    found = document()
    reward = next(check for check in found["checks"] if check["name"] == "reward")
    assert held_out_point(found) == (0.1, reward["value"], reward["low"], reward["high"])
    assert held_out_point(document(float("nan"))) is None
    assert held_out_point({}) is None


def test_files_are_written_without_anybodys_words(tmp_path: Path) -> None:
    write_artifacts(tmp_path / "gate", document())
    text = (tmp_path / "gate" / VERDICT_FILE).read_text()
    assert json.loads(text)["passed"] is True
    assert sampled(love=1.5).texts[0] not in text
    assert (tmp_path / "gate" / PICTURE_FILE).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("kept", [(), ("history",), ("checks", "notes", "passed")])
def test_a_verdict_that_lacks_parts_is_drawn_all_the_same(tmp_path: Path, kept: tuple[str, ...]) -> None:
    draw_gain({key: value for key, value in document().items() if key in kept}, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5_000
