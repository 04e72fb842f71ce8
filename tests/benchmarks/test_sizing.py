"""The sizing of docs/deploy.md: by hand, and as the page has it."""

import pytest

from tests.benchmarks.sizing import DOCS, STEPS, Assumed, Measured, page, sized, table

MEASURED = Measured(
    api_batched=8.0, api_single=100.0, consumer=15.0, consumer_rate=20_000.0, store_bytes=8_000.0, log_bytes=7_000.0
)


def test_a_million_people_by_hand() -> None:
    """1e6 people x 10 chats = 1e7 answers a day; / 86,400 x 3 = 347 a second; x 2.8 = 972 events."""
    found = sized(Assumed(1_000_000), MEASURED)
    assert found["answers a second, at the peak"] == "347"
    assert found["feedback events a second, at the peak"] == "972"
    assert found["feedback API, cores"] == "1", "972 x 100 us x 2 = 0.19"
    assert found["consumers (a core each)"] == "2", "972 x 2 / 20,000, and never one alone"
    assert found["partitions of each topic"] == "16"
    assert found["PostgreSQL, rows and indexes"] == "2.4 TB", "1e7 x 30 x 8,000"
    assert found["Kafka, a broker's disk (three replicas on three brokers)"] == "490 GB", "1e7 x 7 x 7,000"
    assert found["engine replicas"] == "46", "347.2 x 250 / 2,500 x 1.3 = 45.1"


def test_the_page_has_what_the_command_computes() -> None:
    text = (DOCS / "deploy.md").read_text()
    assert text == page(text, table([Assumed(people) for people in STEPS], Measured.read())), (
        "run: python -m tests.benchmarks.sizing --page"
    )


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        page("nothing", "table")
