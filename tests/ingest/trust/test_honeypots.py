"""Honeypots: kept, listed, retired, and chosen at a rate that can be logged."""

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts import Answer
from ingest.consumer import FeedbackConsumer
from ingest.trust.honeypots import (
    InvalidHoneypot,
    UnknownHoneypot,
    add_honeypot,
    choose,
    list_honeypots,
    retire_honeypot,
)
from ingest.trust.records import Honeypot
from tests.ingest.builders import START, interaction
from tests.ingest.test_consumer import serve

if TYPE_CHECKING:
    from infra.runtime import Context


def honeypot(honeypot_id: str) -> Honeypot:
    return Honeypot(honeypot_id=honeypot_id, better=("r1", 0), worse=("r2", 0), reason="", added_at=0.0)


def test_chosen_at_the_rate_and_evenly() -> None:
    pots = [honeypot("a"), honeypot("b")]
    choices = [choose(pots, f"request {i}", 0.1, "salt") for i in range(20_000)]
    shown = [c.honeypot.honeypot_id for c in choices if c.honeypot]
    assert len(shown) == pytest.approx(2000, abs=4 * 42)  # binomial: four standard deviations
    assert shown.count("a") == pytest.approx(len(shown) / 2, abs=4 * 22)
    assert {c.probability for c in choices} == {0.05, 0.9}
    first = sum(c.better_first for c in choices if c.honeypot)
    assert first == pytest.approx(len(shown) / 2, abs=4 * 22)


@given(st.text(), st.floats(0, 1))
def test_the_same_occasion_has_the_same_choice(occasion: str, rate: float) -> None:
    pots = [honeypot("a"), honeypot("b"), honeypot("c")]
    one, other = choose(pots, occasion, rate, "s"), choose(pots[::-1], occasion, rate, "s")
    assert one == other
    assert choose([], occasion, rate, "s").honeypot is None
    assert choose(pots, occasion, 0.0, "s").honeypot is None
    assert choose(pots, occasion, 1.0, "s").honeypot is not None


def test_added_listed_and_retired(context: "Context", consumer: FeedbackConsumer) -> None:
    two = (Answer(0, "yes", "stop"), Answer(1, "no", "stop"))
    serve(context, interaction("r1", answers=two), interaction("r2"))
    consumer.drain()
    made = add_honeypot(context, ("r1", 0), ("r1", 1), " the other is false ")
    second = add_honeypot(context, ("r2", 0), ("r1", 1), "short and right")
    assert list_honeypots(context) == [made, second]
    assert (made.reason, made.added_at, made.retired_at) == ("the other is false", START, None)
    retire_honeypot(context, made.honeypot_id)
    assert list_honeypots(context, in_use=True) == [second]
    assert list_honeypots(context)[0].retired_at == START
    with pytest.raises(UnknownHoneypot):
        retire_honeypot(context, made.honeypot_id)


@pytest.mark.parametrize(
    ("better", "worse", "reason", "field"),
    [
        (("r1", 0), ("r1", 0), "why", "worse"),
        (("r1", 0), ("gone", 0), "why", "worse"),
        (("r1", 0), ("r2", 0), "  ", "reason"),
    ],
)
def test_what_cannot_be_a_honeypot(
    context: "Context",
    consumer: FeedbackConsumer,
    better: tuple[str, int],
    worse: tuple[str, int],
    reason: str,
    field: str,
) -> None:
    serve(context, interaction("r1"), interaction("r2"))
    consumer.drain()
    with pytest.raises(InvalidHoneypot) as caught:
        add_honeypot(context, better, worse, reason)
    assert caught.value.field == field
    assert list_honeypots(context) == []
