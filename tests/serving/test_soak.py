"""Memory of a gateway that has answered much."""

import pytest

from tests.benchmarks.bench_serving_gateway import running

MOST_GROWTH = 0.05


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_memory_after_100_000_requests_is_that_after_10_000() -> None:
    with running() as bench:
        bench.load(10_000)
        before = bench.resident_bytes()
        for _ in range(9):
            bench.load(10_000)
        after = bench.resident_bytes()
    for what, early, late in zip(("gateway", "its spool's process"), before, after, strict=True):
        print(f"resident, {what}: {early / 1e6:.1f} MB at 10,000 requests, {late / 1e6:.1f} MB at 100,000")
        assert late < early * (1 + MOST_GROWTH), f"{what}: {early / 1e6:.0f} MB have become {late / 1e6:.0f} MB"
