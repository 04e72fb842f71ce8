"""Frames in a segment: as bytes, after damage, and never forged by what they hold."""

import os
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.event_log.spooling import segments
from infra.event_log.spooling.segments import SEGMENT_BYTES, Segment, create, reopen


def _written(path: Path, *contents: bytes) -> Segment:
    segment = create(path, sum(map(segments.frame_bytes, contents)))
    segment.write([segment.framed(content) for content in contents])
    return segment


def _found(path: Path) -> list[bytes]:
    segment = reopen(path)
    assert segment is not None
    try:
        return [content for _, content in segment.found()]
    finally:
        segment.close(delete=False)


def test_the_bytes_of_a_segment(tmp_path: Path) -> None:
    path = tmp_path / "a-000000.spool"
    _written(path, b"first", b"second").close(delete=False)
    held = path.read_bytes()
    mark = held[8:16]
    assert len(held) == SEGMENT_BYTES
    assert held[:8] == b"PLDSPOOL"
    one = mark + struct.pack("<II", 5, zlib.crc32(b"first")) + b"first"
    two = mark + struct.pack("<II", 6, zlib.crc32(b"second")) + b"second"
    assert held[16:].rstrip(b"\0") == one + two
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_written_is_read_and_found(tmp_path: Path) -> None:
    segment = create(tmp_path / "a-000000.spool", 10)
    starts = segment.write([segment.framed(b"one"), segment.framed(b"two")])
    starts += segment.write([segment.framed(b"three")])
    assert [segment.read(start, length) for start, length in zip(starts, (3, 3, 5), strict=True)] == [
        b"one",
        b"two",
        b"three",
    ]
    assert list(segment.found()) == list(zip(starts, [b"one", b"two", b"three"], strict=True))
    segment.close(delete=True)
    assert list(tmp_path.iterdir()) == []


def test_what_is_handed_on_is_on_the_disk_no_more(tmp_path: Path) -> None:
    path = tmp_path / "a-000000.spool"
    segment = create(path, 10)
    first, _, third = segment.write([segment.framed(word) for word in (b"first", b"second", b"third")])
    segment.erase(first, first + 5)
    assert b"first" not in path.read_bytes()
    assert _found(path) == [b"second", b"third"]
    segment.erase(third, third + 5)
    segment.begin_anew()
    segment.write([segment.framed(b"new")])
    assert _found(path) == [b"new", b"second"] or b"second" not in path.read_bytes()
    segment.close(delete=False)


@pytest.mark.parametrize("damage", ["length", "crc", "content", "torn"])
def test_a_damaged_frame_costs_no_other(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a-000000.spool"
    segment = create(path, 10)
    starts = segment.write([segment.framed(word) for word in (b"first", b"second", b"third")])
    segment.close(delete=False)
    place = {"length": -8, "crc": -4, "content": 2, "torn": 3}[damage] + starts[1]
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" if damage != "torn" else b"\0\0\0")
    assert _found(path) == [b"first", b"third"]


def test_the_last_frame_of_a_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a-000000.spool"
    segment = create(path, 10)
    starts = segment.write([segment.framed(b"whole"), segment.framed(b"cut")])
    segment.close(delete=False)
    for size in (starts[1] + 2, starts[1] - 3, starts[1] - 12):
        os.truncate(path, size)
        assert _found(path) == [b"whole"]


def test_content_cannot_pass_for_a_frame(tmp_path: Path) -> None:
    """A prompt that holds a frame of another segment, inside a frame that is then damaged."""
    other = create(tmp_path / "b-000000.spool", 10)
    forged = other.framed(b"forged")
    other.close(delete=True)
    path = tmp_path / "a-000000.spool"
    segment = create(path, 10)
    (start,) = segment.write([segment.framed(b"prompt " + forged)])
    assert _found(path) == [b"prompt " + forged]
    segment.erase(start, start + 2)
    segment.close(delete=False)
    assert _found(path) == []


def test_a_large_append_has_a_segment_of_its_size(tmp_path: Path) -> None:
    large = os.urandom(3 * SEGMENT_BYTES)
    path = tmp_path / "a-000000.spool"
    _written(path, large).close(delete=False)
    assert _found(path) == [large]


def test_files_that_are_no_segments(tmp_path: Path) -> None:
    unused, foreign = tmp_path / "a-000000.spool", tmp_path / "b-000000.spool"
    unused.write_bytes(bytes(100))
    foreign.write_bytes(b"SQLite format 3\0 and more")
    assert (reopen(unused), reopen(foreign)) == (None, None)
    assert list(tmp_path.iterdir()) == [foreign], "only what its process had no time to begin is deleted"


@given(
    st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=20)), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_damage_costs_the_frames_it_touches_and_no_others(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], damages: list[tuple[int, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("segment") / "a-000000.spool"
    segment = create(path, 10)
    starts = segment.write([segment.framed(content) for content in contents])
    segment.close(delete=False)
    before = path.read_bytes()
    with path.open("r+b") as file:
        for place, noise in damages:
            file.seek(16 + place)
            file.write(noise)
    after = path.read_bytes()
    whole = [
        content
        for start, content in zip(starts, contents, strict=True)
        if before[start - 16 : start + len(content)] == after[start - 16 : start + len(content)]
    ]
    assert _found(path) == whole
