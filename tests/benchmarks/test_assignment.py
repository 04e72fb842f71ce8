"""A million people, and the time a call takes: the whole of what `bench_assignment` measures, as a test."""

from pathlib import Path

import pytest

from tests.benchmarks.bench_assignment import BLOCK_P99_US, MEDIAN_US, agreement, costs, evenness


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_million_people_over_six_steps_in_two_languages(tmp_path: Path) -> None:
    found = agreement(1_000_000, tmp_path)
    assert (found.restart, found.javascript, found.moved, found.meanings) == (0, 0, 0, True)
    assert found.counted[0] < found.counted[4]


@pytest.mark.full
def test_a_million_points_are_even_and_salts_independent() -> None:
    even, apart = evenness(1_000_000)
    assert min(even) > 1e-3 / len(even)
    assert min(apart) > 1e-3 / len(apart)


@pytest.mark.full
def test_an_assignment_takes_a_microsecond() -> None:
    for cost in costs()[1:4]:
        assert cost.median <= MEDIAN_US, cost
        # Processor time: other tests run beside this one. The benchmark shows both.
        assert cost.p99_processor < BLOCK_P99_US, cost
