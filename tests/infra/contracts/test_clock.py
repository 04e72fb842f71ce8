import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.contracts import ManualClock, SystemClock


def test_system_clock_is_unix_time() -> None:
    assert abs(SystemClock().now() - time.time()) < 1.0


def test_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(10.0)
    assert clock.now() == clock.now() == 10.0
    assert clock.advance(2.5) == 12.5
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    assert clock.now() == 12.5


def test_manual_clock_loses_no_step_between_threads() -> None:
    clock = ManualClock(0.0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: [clock.advance(1.0) for _ in range(500)], range(8)))
    assert clock.now() == 4000.0
