"""Frames in a segment: as bytes, after damage, and never forged by what they hold."""

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.event_log.spooling import segments
from infra.event_log.spooling.claiming import claim
from infra.event_log.spooling.segments import SEGMENT_BYTES, Opened, create, known


@contextmanager
def _opened(path: Path) -> Iterator[Opened]:
    segment = known(path)
    assert segment is not None
    opened = Opened(segment)
    try:
        yield opened
    finally:
        opened.close()


def _written(path: Path, *contents: bytes) -> list[int]:
    """Where each content starts in a new segment."""
    create(path, sum(map(segments.frame_bytes, contents)))
    with _opened(path) as opened:
        return opened.write([opened.segment.framed(content) for content in contents])


def _found(path: Path) -> list[bytes]:
    with _opened(path) as opened:
        return [content for _, content in opened.found()]


def test_the_bytes_of_a_segment(tmp_path: Path) -> None:
    path = tmp_path / "a-000000.spool"
    _written(path, b"first", b"second")
    held = path.read_bytes()
    mark = held[8:16]
    assert len(held) == SEGMENT_BYTES
    assert held[:8] == b"PLDSPOOL"
    one = mark + struct.pack("<II", 5, zlib.crc32(b"first")) + b"first"
    two = mark + struct.pack("<II", 6, zlib.crc32(b"second")) + b"second"
    assert held[16:].rstrip(b"\0") == one + two
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_written_is_read_and_found(tmp_path: Path) -> None:
    path = tmp_path / "a-000000.spool"
    starts = _written(path, b"one", b"two")
    with _opened(path) as opened:
        opened.segment.end = starts[1] + 3
        starts += opened.write([opened.segment.framed(b"three")])
        words = [opened.read(start, length) for start, length in zip(starts, (3, 3, 5), strict=True)]
        assert words == [b"one", b"two", b"three"]
        assert list(opened.found()) == list(zip(starts, words, strict=True))


def test_what_is_handed_on_is_on_the_disk_no_more(tmp_path: Path) -> None:
    path = tmp_path / "a-000000.spool"
    first, _, third = _written(path, b"first", b"second", b"third")
    with _opened(path) as opened:
        opened.erase(first, first + 5)
        assert b"first" not in path.read_bytes()
        assert _found(path) == [b"second", b"third"]
        opened.erase(third, third + 5)
        opened.flush()
    assert _found(path) == [b"second"]


@pytest.mark.parametrize("damage", ["length", "crc", "content", "torn"])
def test_a_damaged_frame_costs_no_other(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a-000000.spool"
    starts = _written(path, b"first", b"second", b"third")
    place = {"length": -8, "crc": -4, "content": 2, "torn": 3}[damage] + starts[1]
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" if damage != "torn" else b"\0\0\0")
    assert _found(path) == [b"first", b"third"]


def test_the_last_frame_of_a_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a-000000.spool"
    starts = _written(path, b"whole", b"cut")
    for size in (starts[1] + 2, starts[1] - 3, starts[1] - 12):
        os.truncate(path, size)
        assert _found(path) == [b"whole"]


def test_content_cannot_pass_for_a_frame(tmp_path: Path) -> None:
    """A prompt that holds a frame of another segment, inside a frame that is then damaged."""
    forged = create(tmp_path / "b-000000.spool", 10).framed(b"forged")
    path = tmp_path / "a-000000.spool"
    (start,) = _written(path, b"prompt " + forged)
    assert _found(path) == [b"prompt " + forged]
    with _opened(path) as opened:
        opened.erase(start, start + 2)
    assert _found(path) == []


def test_a_large_append_has_a_segment_of_its_size(tmp_path: Path) -> None:
    large = os.urandom(3 * SEGMENT_BYTES)
    path = tmp_path / "a-000000.spool"
    _written(path, large)
    assert _found(path) == [large]


def test_files_that_are_no_segments(tmp_path: Path) -> None:
    unused, foreign = tmp_path / "a-000000.spool", tmp_path / "b-000000.spool"
    unused.write_bytes(bytes(100))
    foreign.write_bytes(b"SQLite format 3\0 and more")
    assert (known(unused), known(foreign)) == (None, None)
    fresh, adopted_unused, adopted_foreign = claim(tmp_path)
    assert not (adopted_unused.waiting())
    assert not (adopted_foreign.waiting())
    for file in (fresh, adopted_unused, adopted_foreign):
        file.close(delete=True)
    assert list(tmp_path.iterdir()) == [foreign], "only what its process had no time to begin is deleted"


def test_a_refused_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a-000000.spool"
    _written(path, b"kept")
    with _opened(path) as opened, monkeypatch.context() as patch:
        opened.segment.end = 36
        patch.setattr(os, "fdatasync", _refuse)
        with pytest.raises(OSError, match="no"):
            opened.write([opened.segment.framed(b"refused")])
        assert opened.segment.end == 36
    assert b"refused" not in path.read_bytes()
    assert _found(path) == [b"kept"]


def _refuse(_descriptor: int) -> None:
    raise OSError("no")


@given(
    st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=20)), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_damage_costs_the_frames_it_touches_and_no_others(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], damages: list[tuple[int, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("segment") / "a-000000.spool"
    starts = _written(path, *contents)
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
