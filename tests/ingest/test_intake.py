"""A batch through the fast way is the batch through the slow way, event by event."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts import FeedbackEvent, uuid7
from ingest.intake import Intake, RecentKeys
from ingest.rows import DERIVED_AT, USER_KEY, row_of
from ingest.wire import WireEvent, to_event

SECRET = b"secret"
NOW = 1_700_000_000.0


def wire(signal: str = "like", **more: Any) -> WireEvent:
    return WireEvent(**{"event_id": str(uuid7()), "response_id": "r1", "signal": signal, **more})


times = st.sampled_from([
    None, 0, 5.5, NOW - 3600, NOW + 3600, -1.0, 1e11, "2023-11-14T22:13:19Z", "2023-11-14T23:13:19.25+01:00",
    "2023-11-14T22:13:19", "yesterday", "",
])  # fmt: skip


@st.composite
def wires(draw: st.DrawFn) -> WireEvent:
    signal = draw(st.sampled_from(["shown", "like", "dwell", "duel"]))
    return wire(
        signal,
        response_id=draw(st.sampled_from(["r1", "r2", "r2", "r 3"])),
        choice=draw(st.sampled_from([0, 0, 0, 1, 4000])),
        value=draw(st.sampled_from([None, 0.5])),
        other_response_id=draw(st.sampled_from([None, None, "r9"])),
        user=draw(st.sampled_from([None, "", "ann", "bob", "u" * 513])),
        device=draw(st.sampled_from([None, "mobile"])),
        solicited=draw(st.sampled_from([None, 0.5])),
        created_at=draw(times),
        sent_at=draw(times),
    )


@pytest.mark.parametrize("few", [0, 4])
@given(events=st.lists(wires(), min_size=1, max_size=3))
def test_fast_is_slow(few: int, events: list[WireEvent]) -> None:
    slow = [to_event(item, "p", SECRET, NOW) for item in events]
    expected = [row_of(item) for item in slow if isinstance(item, FeedbackEvent)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingest.intake._FEW", few)
        assert Intake(SECRET).rows(events, NOW) == (expected if len(expected) == len(events) else None)


def test_the_raw_user_is_gone_and_times_are_derived() -> None:
    rows = Intake(SECRET).rows([wire(user="ann", created_at=NOW - 100, sent_at=NOW - 40), wire()], NOW)
    assert rows is not None
    assert "ann" not in repr(rows)
    assert len(rows[0][USER_KEY] or "") == 32
    assert [row[DERIVED_AT] for row in rows] == [NOW - 60, NOW]
    assert Intake(SECRET).rows([], NOW) == []


def test_keys_of_users_seen_lately_are_made_once() -> None:
    made: list[str] = []

    def key_of(user: str) -> str:
        made.append(user)
        return user.upper()

    keys = RecentKeys(key_of, 2)
    assert keys.of(["ann", None, "bob", ""]) == ["ANN", None, "BOB", None]
    assert keys.of(["bob"]) == ["BOB"]
    assert keys.of(["cat", "bob", "cat"]) == ["CAT", "BOB", "CAT"]  # one too many: the two are the older generation now
    assert keys.of(["bob"]) == ["BOB"]
    assert sorted(made) == ["ann", "bob", "cat"]
    assert keys.of(["dan", "eve"]) == ["DAN", "EVE"]
    assert keys.of_one("ann") == "ANN"
    assert sorted(made) == ["ann", "ann", "bob", "cat", "dan", "eve"]
    assert keys.of(["x" * 512]) == ["X" * 512]
    assert keys.of(["x" * 513]) is None
