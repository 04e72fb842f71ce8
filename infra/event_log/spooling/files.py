"""What one process keeps in the spool's folder: segments under one name, claimed by a lock.

The lock is on the file beside them, and the kernel gives it back when the process dies; the next process that starts
adopts what it finds unclaimed.
"""

import fcntl
import os
import threading
import uuid
from collections import deque
from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
import structlog

from infra.event_log.port import Record
from infra.event_log.spooling import segments
from infra.event_log.spooling.segments import Segment


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


def content_of(topic: str, records: Sequence[Record], partitions: Sequence[int]) -> bytes:
    """What goes into the frame of an append."""
    pairs = zip(records, partitions, strict=True)
    return _encode([(topic, place, record.key, record.value, record.headers) for record, place in pairs])


class SpoolFile:
    """The claimed segments of one name. `write` belongs to one thread; `oldest` and `forget` to another."""

    def __init__(self, folder: Path, name: str, lock: IO[bytes]) -> None:
        self.name = name
        self._folder = folder
        self._lock_file = lock
        self._lock = threading.Lock()
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._numbers = count()
        self._current: Segment | None = None
        self._spare: Segment | None = None
        for path in sorted(folder.glob(f"{name}-*{segments.SUFFIX}")):
            if (segment := segments.reopen(path)) is not None:
                self._take_over(segment)

    def write(self, contents: Sequence[bytes], records: Sequence[int], sizes: Sequence[int]) -> None:
        """Keep one frame of each content, that holds so many records with values of such a size. Raises OSError; then
        none of them counts."""
        segment = self._segment_for(sum([segments.frame_bytes(content) for content in contents]))
        starts = segment.write([segment.framed(content) for content in contents])
        frames = [Frame(segment, *place) for place in zip(starts, map(len, contents), records, sizes, strict=True)]
        with self._lock:
            segment.frames += len(frames)
            self._frames += frames
            self._bytes += sum(sizes)

    def tidy(self) -> None:
        """By who writes: when nothing waits, the next frame goes where the first did."""
        with self._lock:
            if self._current is not None and not self._frames:
                self._current.begin_anew()

    def waiting_bytes(self) -> int:
        """Bytes of the values that wait."""
        return self._bytes

    def waiting(self) -> bool:
        """Whether anything waits."""
        return bool(self._frames)

    def oldest(self, max_records: int) -> list[tuple[Frame, list[Kept]]]:
        """The appends that have waited longest, up to that many records, but one at least."""
        with self._lock:
            candidates = list(islice(self._frames, max_records))
        taken: list[tuple[Frame, list[Kept]]] = []
        for frame in candidates:
            max_records -= frame.records
            if taken and max_records < 0:
                break
            taken.append((frame, self._kept(frame)))
        return taken

    def forget(self, frames: int) -> None:
        """The log has the oldest so many frames now: they go from the disk. Raises OSError."""
        with self._lock:
            gone = list(islice(self._frames, frames))
        spans: dict[Segment, tuple[int, int]] = {}
        for frame in gone:
            first, _ = spans.get(frame.segment, (frame.start, 0))
            spans[frame.segment] = (first, frame.start + frame.length)
        for segment, (start, end) in spans.items():
            segment.erase(start, end)  # they still wait, so that nothing is written there yet
        done: list[Segment] = []
        with self._lock:
            for frame in gone:
                self._frames.popleft()
                self._bytes -= frame.size
                frame.segment.frames -= 1
                if not frame.segment.frames and frame.segment is not self._current:
                    done.append(frame.segment)
        for segment in done:
            self._recycle(segment)

    def close(self, *, delete: bool = False) -> None:
        """Give the files back to whoever starts next, or delete them if nothing waits in them."""
        opened = {frame.segment for frame in self._frames} | ({self._current, self._spare} - {None})
        for segment in opened:
            if segment is not None:
                segment.close(delete=delete or not segment.frames)
        if delete:
            Path(self._lock_file.name).unlink(missing_ok=True)
        self._lock_file.close()

    def _kept(self, frame: Frame) -> list[Kept]:
        try:
            return _decode(frame.segment.read(frame.start, frame.length))
        except msgspec.MsgspecError as error:  # what follows must not wait behind it for ever
            _log.error(
                "event_log_spool_damaged", path=str(frame.segment.path), records_lost=frame.records, error=str(error)
            )
            return []

    def _segment_for(self, size: int) -> Segment:
        if self._current is not None and self._current.room(size):
            return self._current
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None and not spare.room(size):
            spare.close(delete=True)
            spare = None
        if spare is None:
            path = self._folder / f"{self.name}-{next(self._numbers):06d}{segments.SUFFIX}"
            spare = segments.create(path, size)
        with self._lock:
            before, self._current = self._current, spare
            done = before if before is not None and not before.frames else None
        if done is not None:
            self._recycle(done)
        return spare

    def _recycle(self, segment: Segment) -> None:
        """Nothing waits in it, and it is written to no more."""
        segment.flush()  # the zeros, so that the first flush of what comes next is a short one
        segment.begin_anew()
        with self._lock:
            before, self._spare = self._spare, segment
        if before is not None:
            before.close(delete=True)

    def _take_over(self, segment: Segment) -> None:
        for start, content in segment.found():
            try:
                kept = _decode(content)
            except msgspec.MsgspecError:
                continue  # whole by chance or by another version: no record of this one
            size = sum(len(one.value) for one in kept)
            self._frames.append(Frame(segment, start, len(content), len(kept), size))
            segment.frames += 1
            self._bytes += size
        if not segment.frames:
            segment.close(delete=True)


def claim(folder: Path) -> list[SpoolFile]:
    """A new name for this process first, then every one of `folder` that nobody holds."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [uuid.uuid4().hex, *sorted({path.name.rpartition("-")[0] for path in left_behind(folder)})]
    claimed = [(name, lock) for name in names if (lock := _locked(folder / f"{name}.lock")) is not None]
    return [SpoolFile(folder, name, lock) for name, lock in claimed]


def left_behind(folder: Path) -> list[Path]:
    """Segments in the folder, of living processes and of dead ones."""
    return sorted(folder.glob(f"*-*{segments.SUFFIX}"))


def _locked(path: Path) -> IO[bytes] | None:
    """The lock, or None while another process holds it, or has just deleted it with its segments."""
    lock = path.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    if not path.exists() or path.stat().st_ino != os.fstat(lock.fileno()).st_ino:
        lock.close()
        return None
    return lock
