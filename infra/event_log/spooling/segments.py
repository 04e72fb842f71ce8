"""Segments of a spool: files of one length, to which frames are written one after another and flushed.

A segment begins with the format's name and the segment's mark, eight random bytes. A frame is the mark, the length and
the CRC-32 of its content, and the content. After a crash a segment is searched for frames: nothing else says where they
stand, so nothing else can be lost, and whoever writes a prompt cannot forge one, as he does not know the mark. What was
handed on is overwritten with zeros; a frame that is found once more after the machine lost its power comes to the log
twice, as after any retry.

All blocks of a segment are written with zeros before its first frame: then a flush writes data and no metadata, which
costs a fraction of a commit by SQLite.
"""

import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from infra.durable import sync

SEGMENT_BYTES = 2 * 1024 * 1024
SUFFIX = ".spool"
_FORMAT = b"PLDSPOOL"
_MARK_BYTES = 8
_START = len(_FORMAT) + _MARK_BYTES
_FRAME = struct.Struct(f"<{_MARK_BYTES}sII")
_ZEROS = bytes(1024 * 1024)

_log = structlog.get_logger(__name__)


class Segment:
    """One file. Of whoever keeps it: `end` is where the next frame goes, `frames` how many wait; once none does,
    `reusable` says whether it may be written to again, `deletable` whether it may go, which it may not where it holds
    what this version cannot read."""

    def __init__(self, path: Path, mark: bytes, capacity: int) -> None:
        self.path = path
        self.mark = mark
        self.capacity = capacity
        self.end = _START
        self.frames = 0
        self.reusable = True
        self.deletable = True

    def room(self, size: int) -> bool:
        """Whether frames of so many bytes fit."""
        return self.end + size <= self.capacity

    def half_full(self) -> bool:
        """Whether another will be wanted before long."""
        return 2 * self.end > self.capacity

    def framed(self, content: bytes) -> bytes:
        """The frame that holds `content`."""
        return _FRAME.pack(self.mark, len(content), zlib.crc32(content)) + content

    def begin_anew(self) -> None:
        """Nothing waits here: the next frame is the first again."""
        self.end = _START


class Opened:
    """A segment that is open, for one thread. Every method raises OSError."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._descriptor = os.open(segment.path, os.O_RDWR)

    def write(self, frames: Sequence[bytes]) -> list[int]:
        """Write frames and flush; returns where each content starts. After an OSError nothing of them counts, and the
        next frames are written over them."""
        segment, place, starts = self.segment, self.segment.end, []
        for frame in frames:
            starts.append(place + _FRAME.size)
            place += len(frame)
        try:
            _write_at(self._descriptor, b"".join(frames), segment.end)
            os.fdatasync(self._descriptor)
        except OSError:
            with suppress(OSError):
                _zero(self._descriptor, segment.end, place)  # nobody knows of these words
            raise
        segment.end = place
        return starts

    def read(self, start: int, length: int) -> bytes:
        """The content that stands there."""
        return os.pread(self._descriptor, length, start)

    def found(self) -> Iterator[tuple[int, bytes]]:
        """(start, content) of every frame that is whole: for files of a process that has ended."""
        mark = self.segment.mark
        held = os.pread(self._descriptor, self.segment.capacity, 0)
        place = held.find(mark, _START)
        while place >= 0:
            start = place + _FRAME.size
            if start <= len(held):
                _, length, crc = _FRAME.unpack_from(held, place)
                content = held[start : start + length]
                if length and len(content) == length and zlib.crc32(content) == crc:
                    yield start, content
                    place = start + length - 1
            place = held.find(mark, place + 1)

    def erase(self, start: int, end: int) -> None:
        """Write zeros over frames whose contents lie from `start` to `end`: what people wrote goes from the disk with
        the next flush."""
        _zero(self._descriptor, start - _FRAME.size, end)

    def flush(self) -> None:
        """Whatever was written is on the disk."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def frame_bytes(content: bytes) -> int:
    """What a frame of `content` takes."""
    return _FRAME.size + len(content)


def create(path: Path, least: int) -> Segment:
    """A new segment, durable as a file, with room for frames of `least` bytes. Raises OSError."""
    capacity = max(SEGMENT_BYTES, _START + least)
    mark = secrets.token_bytes(_MARK_BYTES)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        _write_at(descriptor, _FORMAT + mark, 0)
        _zero(descriptor, _START, capacity)
        os.fsync(descriptor)
        sync(path.parent)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return Segment(path, mark, capacity)


def known(path: Path) -> Segment | None:
    """The segment in a file; None when it has not been begun, or, told in the log, is none of ours. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(_START)
        size = os.fstat(file.fileno()).st_size
    if len(start) == _START and start.startswith(_FORMAT):
        return Segment(path, start[len(_FORMAT) :], size)
    if start.strip(b"\0"):
        _log.warning("event_log_spool_unknown", path=str(path), remedy="not a spool file of this version: move it away")
    return None


def _write_at(descriptor: int, data: bytes, place: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, place)
        view, place = view[written:], place + written


def _zero(descriptor: int, start: int, end: int) -> None:
    for place in range(start, end, len(_ZEROS)):
        _write_at(descriptor, _ZEROS[: end - place], place)
