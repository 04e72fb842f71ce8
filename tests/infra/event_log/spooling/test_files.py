"""What one process keeps: claimed by a lock, in as many segments as it takes, oldest first."""

from pathlib import Path

import pytest

from infra.event_log import Record
from infra.event_log.spooling import segments
from infra.event_log.spooling.claiming import claim, frames_waiting, left_behind
from infra.event_log.spooling.files import Kept, SpoolFile, content_of


def _kept(file: SpoolFile, *values: bytes) -> None:
    contents = [content_of("topic", [Record(b"key", value, headers=(("h", b"1"),))], [3]) for value in values]
    file.write(contents, [1] * len(values), [len(value) for value in values])


def _values(file: SpoolFile) -> list[bytes]:
    return [one.value for _, kept in file.oldest(100, 10_000) for one in kept]


def _forget(file: SpoolFile, frames: int) -> None:
    file.forget([frame for frame, _ in file.oldest(frames, 10_000)])


def test_records_come_back_as_they_went_in(tmp_path: Path) -> None:
    (file,) = claim(tmp_path)
    _kept(file, b"value")
    ((frame, kept),) = file.oldest(1, 100)
    assert kept == [Kept("topic", 3, b"key", b"value", (("h", b"1"),))]
    assert kept[0].record() == Record(b"key", b"value", 3, (("h", b"1"),))
    assert (frame.records, frame.size, file.waiting_bytes(), file.waiting()) == (1, 5, 5, 1)
    _forget(file, 1)
    assert (file.oldest(1, 100), file.waiting_bytes(), file.waiting()) == ([], 0, 0)
    file.close(delete=True)
    assert list(tmp_path.iterdir()) == []


def test_as_many_records_as_asked_for_but_one_append_at_least(tmp_path: Path) -> None:
    (file,) = claim(tmp_path)
    three = content_of("topic", [Record(b"k", b"abc")] * 3, [0, 1, 2])
    file.write([three, three, three], [3, 3, 3], [9, 9, 9])
    assert [len(file.oldest(most, 100)) for most in (1, 3, 5, 6, 100)] == [1, 1, 1, 2, 3]
    assert [len(file.oldest(100, most)) for most in (1, 17, 18, 27)] == [1, 1, 2, 3]
    file.close()


def test_segments_are_filled_emptied_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 300)
    (file,) = claim(tmp_path)
    for number in range(12):
        _kept(file, b"%03d" % number * 20)
    assert len(left_behind(tmp_path)) == 6, "two to a segment"
    assert [value[:3] for value in _values(file)] == [b"%03d" % number for number in range(12)]
    _forget(file, 10)
    assert len(left_behind(tmp_path)) == 2, "the one in use, and one for later"
    assert not any(b"004" in path.read_bytes() for path in left_behind(tmp_path))
    for number in range(12, 15):
        _kept(file, b"%03d" % number * 20)
    assert [value[:3] for value in _values(file)] == [b"%03d" % number for number in range(10, 15)]
    file.close()
    fresh, adopted = claim(tmp_path)
    assert sorted(value[:3] for value in _values(adopted)) == [b"%03d" % number for number in range(10, 15)]
    _forget(adopted, 5)
    adopted.close(delete=True)
    fresh.close(delete=True)
    assert list(tmp_path.iterdir()) == []


def test_once_nothing_waits_the_next_frame_is_the_first_again(tmp_path: Path) -> None:
    (file,) = claim(tmp_path)
    for number in range(3):
        _kept(file, b"%d" % number)
        ((frame, _),) = file.oldest(1, 100)
        _forget(file, 1)
        file.tidy()
        assert frame.start == 32
    _kept(file, b"waits")
    file.tidy()
    _kept(file, b"too")
    assert _values(file) == [b"waits", b"too"]
    file.close()


def test_what_cannot_be_read_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    (file,) = claim(tmp_path)
    _kept(file, b"damaged", b"whole")
    (path,) = left_behind(tmp_path)
    with path.open("r+b") as damaged:
        damaged.seek(32)
        damaged.write(b"\xff" * 8)
    assert _values(file) == [b"whole"]
    _forget(file, 2)
    assert not file.waiting()
    file.close()


def test_a_name_in_use_is_left_alone(tmp_path: Path) -> None:
    (mine,) = claim(tmp_path)
    _kept(mine, b"mine")
    (other,) = claim(tmp_path)
    assert other.name != mine.name
    mine.close()
    fresh, adopted = claim(tmp_path)
    assert (adopted.name, _values(adopted)) == (mine.name, [b"mine"])
    for file in (adopted, other, fresh):
        file.close()


def test_what_cannot_be_overwritten_is_deleted_with_its_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = claim(tmp_path)
    _kept(file, b"first", b"second")
    with monkeypatch.context() as patch:
        patch.setattr(segments.Opened, "erase", _refuse)
        _forget(file, 1)
    assert (_values(file), file.waiting_bytes()) == ([b"second"], 6), "the log has the first: it does not come again"
    (before,) = left_behind(tmp_path)
    _forget(file, 1)
    _kept(file, b"third")
    assert left_behind(tmp_path) != [before]
    assert not any(b"first" in path.read_bytes() for path in left_behind(tmp_path))
    file.close()


def test_a_segment_that_cannot_be_flushed_is_not_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 200)
    (file,) = claim(tmp_path)
    for number in range(4):
        _kept(file, b"%03d" % number * 20)
    handed_on = set(left_behind(tmp_path)[:3])
    monkeypatch.setattr(segments.Opened, "flush", _refuse)
    _forget(file, 3)
    assert not handed_on & set(left_behind(tmp_path))
    assert file.waiting_bytes() == 60
    file.close()


def _refuse(*_: object) -> None:
    raise OSError("the disk is away")


def test_only_the_segments_at_hand_are_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 200)
    before = len(list(Path("/proc/self/fd").iterdir()))
    (file,) = claim(tmp_path)
    for number in range(100):
        _kept(file, b"%03d" % number * 20)
    assert len(_values(file)) == 100
    assert len(left_behind(tmp_path)) == 100
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 3
    _forget(file, 100)
    file.close(delete=True)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_version_stay(tmp_path: Path) -> None:
    (file,) = claim(tmp_path)
    _kept(file, b"ours")
    file.write([b"\x93 is no list of records"], [1], [1])
    file.close()
    fresh, adopted = claim(tmp_path)
    assert _values(adopted) == [b"ours"]
    _forget(adopted, 1)
    for one in (adopted, fresh):
        one.close(delete=True)
    (kept,) = left_behind(tmp_path)
    assert b"is no list of records" in kept.read_bytes()
    assert b"ours" not in kept.read_bytes()


def test_what_waits_is_seen_from_outside(tmp_path: Path) -> None:
    (file,) = claim(tmp_path)
    _kept(file, b"first", b"second")
    before = frames_waiting(tmp_path)
    assert len(before) == 2
    _forget(file, 1)
    after = frames_waiting(tmp_path)
    assert after < before
    file.close()


def test_the_next_segment_is_made_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By who hands on: who writes would hold up answers with it."""
    (file,) = claim(tmp_path)
    _kept(file, bytes(segments.SEGMENT_BYTES // 4))
    _forget(file, 1)
    assert len(list(tmp_path.glob(f"*{segments.SUFFIX}"))) == 1
    _kept(file, bytes(segments.SEGMENT_BYTES // 3))
    _forget(file, 1)
    assert len(list(tmp_path.glob(f"*{segments.SUFFIX}"))) == 2

    def refuse(path: Path, least: int) -> segments.Segment:
        raise AssertionError(f"{path} was made by who writes")

    monkeypatch.setattr(segments, "create", refuse)
    _kept(file, bytes(segments.SEGMENT_BYTES // 2))
    assert _values(file) == [bytes(segments.SEGMENT_BYTES // 2)]
    _forget(file, 1)
    file.close(delete=True)
    assert list(tmp_path.iterdir()) == []
