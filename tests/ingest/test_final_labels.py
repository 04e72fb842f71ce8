"""Final labels: trust and propensities by hand, and the same as plain labels where nothing is known."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.settings.ingest import IngestSettings
from ingest.final_labels import Basis, final_label, last_closing, next_closing, opened_at, still_open
from ingest.labels import InteractionFacts, Labelling, make_label
from ingest.ledger import Version, surviving
from tests.ingest.builders import PROJECT, START, version

SETTINGS = IngestSettings(window_seconds=100.0, objectives={"dwell": {"weight": 0.5}})  # type: ignore[arg-type]
LABELLING = Labelling.of(SETTINGS)
FACTS = InteractionFacts("owner", START - 10, "[[0, 160, 40]]")
PEOPLE = (None, "ann", "ben", "cid")


class Half:
    """A model of reading times for which every reading is the median one."""

    def value(self, seconds: float, tokens: float, device: str | None) -> float | None:
        return None if seconds > 100 else 0.5 + 0.1 * (device == "mobile") + tokens / 1000


def label(versions: list[Version], basis: Basis, facts: InteractionFacts | None = FACTS) -> Any:
    return final_label(
        PROJECT, ("r1", 0), versions, facts, LABELLING, basis, version=1, made_at=START, window_closes_at=START + 90
    )


@st.composite
def ledger(draw: st.DrawFn) -> Version:
    signal = draw(st.sampled_from(["shown", "like", "dislike", "rating", "dwell", "copy", "share", "report"]))
    return version(
        signal,
        START + draw(st.sampled_from([0.0, 1.0, 2.0])),
        operation=draw(st.sampled_from(["set", "set", "set", "withdraw"])),
        user_key=draw(st.sampled_from(PEOPLE)),
        value=draw(st.floats(0, 1)) if signal in ("rating", "dwell") else None,
        device=draw(st.sampled_from([None, "mobile"])),
    )


@given(st.lists(ledger(), min_size=1, max_size=15))
@hypothesis_settings(deadline=None)
def test_where_nothing_is_known_values_are_those_of_a_plain_label(versions: list[Version]) -> None:
    plain = make_label(PROJECT, ("r1", 0), versions, FACTS, LABELLING, version=1, made_at=START)
    final = label(versions, Basis())
    assert final.values == plain.values
    assert {name: weight > 0 for name, weight in final.weights.items()} == {
        name: weight > 0 for name, weight in plain.weights.items()
    }
    if len({signal.voter for signal in surviving(versions, "owner")}) == 1:
        assert final.weights == plain.weights
        assert final.events_counted == plain.events_counted


@given(st.lists(ledger(), min_size=1, max_size=15), st.randoms(), st.lists(st.floats(0, 1), min_size=4, max_size=4))
@hypothesis_settings(deadline=None)
def test_the_order_of_events_changes_no_bit(versions: list[Version], order: random.Random, trust: list[float]) -> None:
    basis = Basis(trust=dict(zip(("owner", "ann", "ben", "cid"), trust, strict=True)), propensity=0.7, reading=Half())
    shuffled = versions.copy()
    order.shuffle(shuffled)
    first, second = label(versions, basis), label(shuffled, basis)
    assert first == second
    for value in first.values.values():
        assert value is None or 0.0 <= value <= 1.0


def test_trust_and_propensity_by_hand() -> None:
    versions = [
        version("shown", user_key="ann"),
        version("like", user_key="ann"),
        version("shown", user_key="ben"),
        version("dislike", user_key="ben"),
        version("shown", user_key="cid"),
        version("like", user_key="cid"),
    ]
    made = label(versions, Basis(trust={"ann": 1.0, "ben": 0.25, "cid": 0.0}, propensity=4.0))
    assert made.values["love"] == made.values["sentiment"] == pytest.approx(1 / 1.25)
    assert made.weights["love"] == pytest.approx(1.25)
    assert made.weights["sentiment"] == pytest.approx(1.25 * 4)  # love speaks of everybody, sentiment of voters
    assert (made.values["share"], made.weights["share"]) == (0.0, pytest.approx(1.25))
    nobody = label(versions, Basis(trust=dict.fromkeys(("ann", "ben", "cid"), 0.0)))
    assert set(nobody.values.values()) == {None}
    assert set(nobody.weights.values()) == {0.0}


def test_refused_objectives_keep_their_value_and_weigh_nothing() -> None:
    versions = [version("shown"), version("dwell", value=5.0), version("copy")]
    made = label(versions, Basis(refused=frozenset({"dwell"}), open=frozenset({"reuse"})))
    assert made.values["dwell"] is not None
    assert made.weights["dwell"] == 0.0
    assert (made.values["reuse"], made.weights["reuse"]) == (None, 0.0)  # its window is open
    assert label(versions, Basis()).values["reuse"] == 1.0


def test_reading_times_by_the_model_device_by_device() -> None:
    versions = [
        version("dwell", value=5.0, user_key="ann", device="mobile"),
        version("shown", user_key="ben", device="mobile"),
        version("dwell", value=5.0, user_key="ben", device="desktop"),
        version("dwell", value=500.0, user_key="cid"),
    ]
    made = label(versions, Basis(reading=Half()))
    assert made.values["dwell"] == pytest.approx((0.6 + 0.04 + 0.5 + 0.04) / 2)
    assert made.weights["dwell"] == pytest.approx(2 * 0.5)  # nobody knows whether cid read
    elsewhere = InteractionFacts("owner", START, "[[0, 160, 0]]")  # no tokens: 160 characters are 40 tokens
    assert label(versions, Basis(reading=Half()), elsewhere).values["dwell"] == made.values["dwell"]
    unknown = label(versions[:1], Basis(reading=Half()), None)
    assert unknown.values["dwell"] is None


def test_windows() -> None:
    own = IngestSettings(window_seconds=10.0, objectives={"reuse": {"window_seconds": 50.0}})  # type: ignore[arg-type]
    labelling = Labelling.of(own)
    assert labelling.window_seconds == 10.0
    opened = opened_at([version("shown", START + 3), version("like", START + 1)], None)
    assert opened == START + 1
    assert opened_at([version("shown")], FACTS) == START - 10
    everything = frozenset(objective.name for objective in labelling.objectives)
    assert still_open(labelling, opened, opened + 9.9) == everything
    assert still_open(labelling, opened, opened + 10) == {"reuse"}
    assert still_open(labelling, opened, opened + 50) == frozenset()
    assert next_closing(labelling, opened, {"reuse"}) == opened + 50
    assert next_closing(labelling, opened, everything) == opened + 10
    assert next_closing(labelling, opened, ()) is None
    assert last_closing(labelling, opened, {"reuse"}) == opened + 10
    assert last_closing(labelling, opened, ()) == opened + 50
