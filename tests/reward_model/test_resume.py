"""A killed training is taken up at its own instant; one that cannot be is begun anew, and says so."""

import logging
from pathlib import Path

import pytest

from reward_model.resume import ATTEMPT_FILE, begin, end

NEVER = float("-inf")


def test_a_killed_one_is_taken_up_at_its_instant(tmp_path: Path) -> None:
    first = begin(tmp_path, 100.0, "c", 60.0, NEVER)
    assert first.instant == 100.0
    assert begin(tmp_path, 130.0, "c", 60.0, NEVER) == first
    end(tmp_path)
    assert begin(tmp_path, 140.0, "c", 60.0, NEVER).instant == 140.0


@pytest.mark.parametrize(
    ("now", "config", "newest"),
    [(161.0, "c", NEVER), (130.0, "other", NEVER), (130.0, "c", 100.0), (90.0, "c", NEVER)],
    ids=["too old", "another configuration", "already registered", "from the future"],
)
def test_one_that_no_longer_counts_is_begun_anew(tmp_path: Path, now: float, config: str, newest: float) -> None:
    begin(tmp_path, 100.0, "c", 60.0, NEVER)
    assert begin(tmp_path, now, config, 60.0, newest).instant == now


def test_a_damaged_file_is_said_and_left_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ATTEMPT_FILE).write_bytes(b'{"instant": 1')
    with caplog.at_level(logging.WARNING):
        assert begin(tmp_path, 100.0, "c", 60.0, NEVER).instant == 100.0
    assert "begins anew" in caplog.text
    assert begin(tmp_path, 110.0, "c", 60.0, NEVER).instant == 100.0
