"""What a late part of start-up made is not looked at by the collector again, where that was asked for."""

import gc

import pytest

from infra.runtime import collector


@pytest.mark.parametrize("eased", [False, True])
def test_what_started_late_stays_only_in_a_process_that_serves(eased: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "_eased", eased)
    before = gc.get_freeze_count()
    made: list[list[int]] = [[] for _ in range(5000)]
    try:
        collector.started_late()
        assert (gc.get_freeze_count() >= before + len(made)) is eased
    finally:
        if not before:
            gc.unfreeze()
