"""Messages survive whatever pieces a socket cuts them into."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.event_log.spooling.lane_wire import ANSWER, APPEND, Handed, Report, answers_in, appends_in, encode_report

APPENDS = st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 9), st.integers(0, 1 << 31)))
HANDED = st.builds(
    Handed, st.text(max_size=4), st.integers(0, 9), st.integers(0, 99), st.floats(0, 9), st.none() | st.text(max_size=3)
)
REPORTS = st.builds(Report, st.lists(HANDED, max_size=3), st.dictionaries(st.text(max_size=3), st.integers(1, 9)))
ANSWERS = st.lists(st.tuples(st.integers(0, 1 << 31), st.integers(0, 1 << 40), st.none() | REPORTS))


def in_pieces(sent: bytes, cuts: list[int], take: Callable[[bytearray], list[Any]]) -> list[Any]:
    """What `take` finds as `sent` comes piece by piece; nothing is to be left."""
    received, found, at = bytearray(), [], 0
    for end in [*sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]:
        received += sent[at:end]
        at = max(at, end)
        found += take(received)
    assert not received
    return found


@given(APPENDS, st.lists(st.integers(0, 500), max_size=6))
def test_appends(appends: list[tuple[bytes, int, int]], cuts: list[int]) -> None:
    sent = b"".join(APPEND.pack(len(content), records, size) + content for content, records, size in appends)
    assert in_pieces(sent, cuts, appends_in) == appends


@given(ANSWERS, st.lists(st.integers(0, 500), max_size=6))
def test_answers(answers: list[tuple[int, int, Report | None]], cuts: list[int]) -> None:
    sent = b""
    for durable, waiting, report in answers:
        body = encode_report(report) if report is not None else b""
        sent += ANSWER.pack(len(body), durable, waiting) + body
    assert in_pieces(sent, cuts, answers_in) == answers


def test_an_append_as_bytes() -> None:
    """Little-endian: length, records and size, then the content; an answer's length, count and what waits."""
    assert APPEND.pack(3, 1, 2) + b"abc" == bytes.fromhex("03000000 01000000 02000000") + b"abc"
    assert ANSWER.pack(0, 2, 5) == bytes.fromhex("00000000 02000000 0500000000000000")
