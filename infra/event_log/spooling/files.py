"""What one process keeps in the spool's folder: segments under one name, claimed by a lock.

The lock is on the file beside them, and the kernel gives it back when the process dies; the next process that starts
adopts what it finds unclaimed.
"""

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
import structlog

from infra.event_log.port import Record
from infra.event_log.spooling import segments
from infra.event_log.spooling.segments import Opened, Segment


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """A record as a frame holds it, with the topic and the partition it is meant for."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()

    def record(self) -> Record:
        return Record(key=self.key, value=self.value, partition=self.partition, headers=self.headers)


class Frame(NamedTuple):
    """One append that waits: where it stands, and how many records and bytes of values it has."""

    segment: Segment
    start: int
    length: int
    records: int
    size: int


_log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Kept]).decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)


def content_of(topic: str, records: Sequence[Record], partitions: Sequence[int]) -> bytes:
    """What goes into the frame of an append."""
    pairs = zip(records, partitions, strict=True)
    return _encode([(topic, place, record.key, record.value, record.headers) for record, place in pairs])


class SpoolFile:
    """The claimed segments of one name. `write` and `tidy` belong to one thread, `oldest`, `forget` and `set_aside` to
    another. Only the segment that is written to and the one that is read are open: thousands may wait."""

    def __init__(self, folder: Path, name: str, lock: IO[bytes]) -> None:
        self.name = name
        self._folder = folder
        self._lock_file = lock
        self._lock = threading.Lock()
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._numbers = count()
        self._written: Opened | None = None
        self._read: Opened | None = None
        self._spare: Segment | None = None
        for path in sorted(folder.glob(f"{name}-*{segments.SUFFIX}")):
            segment = segments.known(path)
            if segment is not None:
                self._take_over(segment)
            elif not path.read_bytes().strip(b"\0"):
                path.unlink()  # its process died while it made the file

    def write(self, contents: Sequence[bytes], records: Sequence[int], sizes: Sequence[int]) -> None:
        """Keep one frame of each content, that holds so many records with values of such a size. Raises OSError; then
        none of them counts."""
        opened = self._opened_for(sum([segments.frame_bytes(content) for content in contents]))
        segment = opened.segment
        starts = opened.write([segment.framed(content) for content in contents])
        frames = [Frame(segment, *place) for place in zip(starts, map(len, contents), records, sizes, strict=True)]
        with self._lock:
            segment.frames += len(frames)
            self._frames += frames
            self._bytes += sum(sizes)

    def tidy(self) -> None:
        """By who writes: when nothing waits, the next frame goes where the first did."""
        with self._lock:
            if self._written is not None and not self._frames and self._written.segment.reusable:
                self._written.segment.begin_anew()

    def waiting(self) -> int:
        """How many appends wait."""
        return len(self._frames)

    def waiting_bytes(self) -> int:
        """Bytes of the values that wait."""
        return self._bytes

    def oldest(self, max_records: int, max_bytes: int) -> list[tuple[Frame, list[Kept]]]:
        """The appends that have waited longest, up to that many records and bytes, but one at least. Raises OSError."""
        taken: list[Frame] = []
        with self._lock:
            for frame in self._frames:
                max_records -= frame.records
                max_bytes -= frame.size
                if taken and (max_records < 0 or max_bytes < 0):
                    break
                taken.append(frame)
        return [(frame, self._kept(frame)) for frame in taken]

    def forget(self, frames: Sequence[Frame]) -> None:
        """The log has these, the oldest: they go from the disk. Never fails: where they cannot be overwritten, their
        segment is deleted once nothing waits in it."""
        spans: dict[Segment, tuple[int, int]] = {}
        for frame in frames:
            first, _ = spans.get(frame.segment, (frame.start, 0))
            spans[frame.segment] = (first, frame.start + frame.length)
        for segment, span in spans.items():
            try:
                self._reading(segment).erase(*span)  # they still wait, so that nothing is written there yet
            except OSError as error:
                segment.reusable = False
                _log.warning("event_log_spool_not_cleared", path=str(segment.path), error=str(error))
        done: list[Segment] = []
        with self._lock:
            for frame in frames:
                self._frames.popleft()
                self._bytes -= frame.size
                frame.segment.frames -= 1
                if not frame.segment.frames and not self._is_written(frame.segment):
                    done.append(frame.segment)
        for segment in done:
            self._recycle(segment)
        self._prepare()

    def set_aside(self, kept: Sequence[Kept]) -> Path:
        """Put records that the log will not take as they are into a file of their own, which nobody adopts until it is
        renamed to `.spool`. Raises OSError."""
        content = _encode(kept)
        path = self._folder / f"{self.name}-{next(self._numbers):06d}{segments.SUFFIX}"
        segment = segments.create(path.with_suffix(".refused"), segments.frame_bytes(content))
        opened = Opened(segment)
        try:
            opened.write([segment.framed(content)])
        finally:
            opened.close()
        return segment.path

    def close(self, *, delete: bool = False) -> None:
        """Give the files back to whoever starts next, or delete them if nothing waits in them."""
        for opened in (self._written, self._read):
            if opened is not None:
                opened.close()
        idle = {opened.segment for opened in (self._written, self._read) if opened is not None} | {self._spare}
        for segment in idle:
            if segment is not None and not segment.frames and segment.deletable:
                segment.path.unlink(missing_ok=True)
        if delete:
            Path(self._lock_file.name).unlink(missing_ok=True)
        self._lock_file.close()

    def _is_written(self, segment: Segment) -> bool:
        return self._written is not None and self._written.segment is segment

    def _kept(self, frame: Frame) -> list[Kept]:
        try:
            return _decode(self._reading(frame.segment).read(frame.start, frame.length))
        except _UNREADABLE as error:  # what follows must not wait behind it for ever
            path = str(frame.segment.path)
            _log.error("event_log_spool_damaged", path=path, records_lost=frame.records, error=str(error))
            return []

    def _reading(self, segment: Segment) -> Opened:
        if self._read is None or self._read.segment is not segment:
            if self._read is not None:
                self._read.close()
                self._read = None
            self._read = Opened(segment)
        return self._read

    def _opened_for(self, size: int) -> Opened:
        if self._written is not None and self._written.segment.reusable and self._written.segment.room(size):
            return self._written
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None and not spare.room(size):
            _delete(spare)
            spare = None
        if spare is None:
            path = self._folder / f"{self.name}-{next(self._numbers):06d}{segments.SUFFIX}"
            spare = segments.create(path, size)
        opened = Opened(spare)
        with self._lock:
            before, self._written = self._written, opened
            done = before is not None and not before.segment.frames
        if before is not None:
            before.close()
            if done:
                self._recycle(before.segment)
        return opened

    def _prepare(self) -> None:
        """Make the next segment before who writes needs it: its blocks take the disk longer than an answer should wait.
        Never fails: who writes makes it then."""
        with self._lock:
            if self._spare is not None or self._written is None or not self._written.segment.half_full():
                return
        try:
            made = segments.create(self._folder / f"{self.name}-{next(self._numbers):06d}{segments.SUFFIX}", 0)
        except OSError:
            return
        self._spare_is(made)

    def _recycle(self, segment: Segment) -> None:
        """Nothing waits in it, and it is written to no more. Never fails."""
        if not segment.reusable or not segment.deletable:
            _delete(segment)
            return
        try:
            opened = Opened(segment)
            try:
                opened.flush()  # the zeros, so that the first flush of what comes next is a short one
            finally:
                opened.close()
        except OSError:
            _delete(segment)
            return
        segment.begin_anew()
        self._spare_is(segment)

    def _spare_is(self, segment: Segment) -> None:
        """For who writes next; one is enough."""
        with self._lock:
            before, self._spare = self._spare, segment
        if before is not None:
            _delete(before)

    def _take_over(self, segment: Segment) -> None:
        opened = Opened(segment)
        try:
            for start, content in opened.found():
                try:
                    kept = _decode(content)
                except _UNREADABLE as error:
                    segment.deletable = False
                    remedy = "written by another version: start that one, and this one when nothing waits"
                    _log.error("event_log_spool_unknown", path=str(segment.path), error=str(error), remedy=remedy)
                    continue
                size = sum(len(one.value) for one in kept)
                self._frames.append(Frame(segment, start, len(content), len(kept), size))
                segment.frames += 1
                self._bytes += size
        finally:
            opened.close()
        if not segment.frames:
            _delete(segment)


def _delete(segment: Segment) -> None:
    if segment.deletable:
        with suppress(OSError):
            segment.path.unlink()
