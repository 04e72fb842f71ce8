"""Bytes of deleted rows: found in files and logs of SQLite, and gone after cleaning."""

import json
import sqlite3
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from infra.event_log import Record
from infra.event_log.spooling.claiming import claim, left_behind
from infra.event_log.spooling.files import content_of
from infra.settings import Settings
from ingest.erasure import files
from ingest.erasure.files import (
    FileBusy,
    files_holding,
    forget_features,
    holds,
    scrub,
    spooled,
    spools_move_on,
    sqlite_files,
    vacuum,
)

NEEDLE = b"0123456789abcdef0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A file whose rows with the needle were deleted without care, one connection still open."""
    path = tmp_path / "odd name %.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (a TEXT, b TEXT)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(NEEDLE.decode(), "x" * number) for number in range(500)])
    connection.execute("INSERT INTO t VALUES ('kept', 'kept')")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    connection.execute("DELETE FROM t WHERE a <> 'kept'")
    connection.commit()
    return path


def test_deleted_rows_are_in_the_bytes_until_the_file_is_cleaned(store: Path) -> None:
    assert files_holding(store.parent, [NEEDLE])
    assert scrub(store, [NEEDLE])
    assert files_holding(store.parent, [NEEDLE]) == []
    with sqlite3.connect(store) as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == [("kept", "kept")]


def test_what_still_stands_in_a_row_is_said_to_be_there(store: Path) -> None:
    assert not scrub(store, [b"kept"])
    assert scrub(store, [b"never"])


def test_a_reader_without_a_pause_is_waited_for_and_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.erasure.files.CHECKPOINT_SECONDS", 0.2)
    reader = sqlite3.connect(store, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM t").fetchall()
    writer = sqlite3.connect(store)
    writer.execute("INSERT INTO t VALUES ('more', 'more')")
    writer.commit()
    with pytest.raises(FileBusy, match="try again"):
        vacuum(store)
    reader.execute("COMMIT")
    vacuum(store)
    reader.close()
    writer.close()


def test_a_file_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(FileBusy):
        vacuum(tmp_path / "gone.sqlite3")
    assert list(tmp_path.iterdir()) == []
    assert not holds(tmp_path / "gone.sqlite3", [NEEDLE])


def test_what_waits_in_a_spool_is_waited_for_and_then_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHECKPOINT_SECONDS", 0.3)
    (file,) = claim(settings.data_dir / "spool")
    for value in (NEEDLE, b"something else"):
        file.write([content_of("topic", [Record(b"k", value)], [0])], [1], [len(value)])
    (segment,) = left_behind(settings.data_dir / "spool")
    assert spooled(settings, [NEEDLE]) == [segment]
    assert not spools_move_on(settings)
    threading.Timer(0.1, lambda: file.forget([frame for frame, _ in file.oldest(2, 100)])).start()
    assert spools_move_on(settings)
    assert spooled(settings, [NEEDLE]) == []
    file.close()


def test_stores_and_logs_are_known(settings: Settings) -> None:
    assert sqlite_files(settings) == []
    wanted = [settings.data_dir / name for name in ("store.sqlite3", "log.sqlite3")]
    for path in wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert sqlite_files(settings) == wanted


def test_only_segments_with_the_person_s_answers_go(settings: Settings) -> None:
    folder = settings.data_dir / "feature_cache" / "recipe"
    folder.mkdir(parents=True)
    for name, keys in (("a", ["k1", "k2"]), ("b", ["k3"])):
        save_file({"rows": torch.zeros(len(keys), 2)}, folder / f"{name}.safetensors", {"keys": json.dumps(keys)})
    (folder / "damaged.safetensors").write_bytes(b"\xff" * 20)
    assert forget_features(settings, {"k2", "k9"}) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["b.safetensors", "damaged.safetensors"]
    assert forget_features(settings, set()) == 0
