"""A backup restored into an empty machine: the loop goes on there, with nothing lost, doubled or come back."""

import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from pydantic import SecretStr
from sqlalchemy import URL, insert, select

from infra.contracts import ManualClock
from infra.db.tables import adapters, audit_entries, feedback_events, labels, serving_state
from infra.event_log.embedded.log import SqliteEventLog
from infra.models.hashes import hash_folder
from infra.runtime import JobContext, open_context
from infra.runtime.context import UNFINISHED_RESTORE, RestoreUnfinished
from infra.settings.infrastructure import StoreSettings
from ingest.erasure.files import files_holding
from ingest.erasure.service import erase
from ingest.jobs import run_label
from ingest.topics import feedback_topic
from plaudit.keeping import files, registry_paths
from plaudit.keeping.backup import back_up, back_up_erasures
from plaudit.keeping.draft import BackupFailed
from plaudit.keeping.erased import erasures_at, receipts_of
from plaudit.keeping.manifest import MANIFEST, InvalidBackup, Manifest, part_of, read_manifest, write_manifest
from plaudit.keeping.restore import RestoreRefused, restore
from tests.fixtures.postgres import fresh_database
from tests.ingest.erasure.town import ANNA, BERT, drain, event, everything, live, names_of, send, tables_holding
from tests.plaudit.keeping.conftest import Moved, Opened

if TYPE_CHECKING:
    from infra.runtime import Context


def quiet(_what: str, _bytes: int) -> None:
    """Nobody watches."""


def taken(context: "Context", out: Path) -> Manifest:
    return back_up(context.settings, out, quiet, clock=context.clock)


def rows(context: "Context") -> dict[str, list[Any]]:
    with context.database.reading() as connection:
        return everything(connection)


def add_adapter(context: "Context", *, champion: bool = True) -> Path:
    folder = context.settings.data_dir / "adapters" / "loop" / "1"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(os.urandom(3000))
    (folder / ".training-2").mkdir()
    (folder / ".training-2" / "half").write_bytes(b"not yet")
    with context.database.transaction() as connection:
        connection.execute(
            insert(adapters).values(
                project="default", name="loop", version=1, path=str(folder.resolve()), base_model_hash="b" * 64,
                file_hashes={"adapter_model.safetensors": hash_folder(folder)["adapter_model.safetensors"]},
                fingerprint={}, state="champion", parent="", run_id="", lineage={}, gate={}, created_at=1.0,
            )
        )  # fmt: skip
        if champion:
            connection.execute(
                insert(serving_state).values(
                    project="default", champion="loop@1", last_proven="loop@1", decision_id="", updated_at=1.0
                )
            )
    return folder


def test_the_loop_goes_on_where_it_was(
    context: "Context", elsewhere: Moved, opened: Opened, clock: ManualClock, tmp_path: Path
) -> None:
    """Some events were applied, some only on the log, some come twice: in the end the labels are those of a machine
    that was never moved."""
    live(context)
    add_adapter(context)
    waiting = [event("bert-2", "shown", None), event("bert-2", "like", BERT)]
    send(context, waiting)  # on the log, not in the store
    manifest = taken(context, tmp_path / "backup")
    assert manifest.missing == []

    settings = elsewhere(tmp_path / "new")
    done = restore(settings, tmp_path / "backup", quiet, clock=clock)
    assert done.revision == manifest.revision
    moved = opened(settings)
    with moved.database.reading() as connection:
        path = connection.execute(select(adapters.c.path)).scalar_one()
        acts = connection.execute(select(audit_entries.c.action)).scalars().all()
    assert Path(path) == (tmp_path / "new" / "adapters" / "loop" / "1").resolve()
    assert (Path(path) / "adapter_model.safetensors").stat().st_size == 3000
    assert not (Path(path) / ".training-2").exists(), "a training in progress begins again"
    assert acts == ["store.restored"]

    late = [event("carl-1", "dislike", BERT)]
    for machine in (context, moved):
        send(machine, late)
        send(machine, waiting)  # a client that did not hear the answer sends again
        drain(machine)
    assert labels_of(moved) == labels_of(context)
    assert ids_of(moved) == ids_of(context)
    assert {str(one["event_id"]) for one in [*waiting, *late]} <= ids_of(moved)
    clock.advance(30 * 86400)
    for machine in (context, moved):
        drain(machine)
        run_label(JobContext(machine))
    assert labels_of(moved) == labels_of(context)
    assert any(status == "final" for status, _ in labels_of(moved).values())


def labels_of(context: "Context") -> dict[tuple[str, int, int], tuple[str, Any]]:
    with context.database.reading() as connection:
        found = connection.execute(select(labels)).all()
    return {(row.response_id, row.choice, row.version): (row.status, row.objective_values) for row in found}


def ids_of(context: "Context") -> set[str]:
    with context.database.reading() as connection:
        found = connection.execute(select(feedback_events.c.event_id)).scalars().all()
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.full])], indirect=True
)
def test_whoever_was_erased_after_the_backup_stays_erased(
    context: "Context", elsewhere: Moved, opened: Opened, clock: ManualClock, tmp_path: Path
) -> None:
    live(context)
    names = names_of(context, ANNA)
    taken(context, tmp_path / "backup")
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps(erase(context, user=ANNA, actor="test")))
    assert back_up_erasures(context.settings, tmp_path / "erased.json") == 1

    settings = elsewhere(tmp_path / "new")
    forgetful = restore(settings, tmp_path / "backup", quiet, clock=clock)
    held = opened(settings)
    with held.database.reading() as connection:
        assert tables_holding(connection, names), "the backup holds her: the test can fail"
    receipts = receipts_of([receipt], settings)
    assert forgetful.unknown(receipts) == [receipt], "nobody told this machine"

    told, newer = elsewhere(tmp_path / "told"), erasures_at(str(tmp_path / "erased.json"))
    assert erasures_at(context.settings.store_url) == newer
    done = restore(told, tmp_path / "backup", quiet, newer=newer, clock=clock)
    assert (done.erasures_learned, done.files_not_clean, done.unknown(receipts)) == (1, 0, [])
    moved = opened(told)
    with moved.database.reading() as connection:
        assert tables_holding(connection, names) == {}
        assert tables_holding(connection, names_of(context, BERT))
    assert files_holding(told.data_dir, names) == []
    drain(moved)
    with moved.database.reading() as connection:
        assert tables_holding(connection, names) == {}
    expected, found = rows(context), rows(moved)
    for name in ("interactions", "feedback_events", "tombstones", "erased_people", "pairs"):
        assert found[name] == expected[name], name


def test_what_the_log_of_the_backup_knows_is_erased_at_once(
    sqlite_context: "Context", clock: ManualClock, tmp_path: Path
) -> None:
    """An erasure between the copies of store and log."""
    context = sqlite_context
    live(context)
    names = names_of(context, ANNA)
    taken(context, tmp_path / "before")
    erase(context, user=ANNA, actor="test")
    taken(context, tmp_path / "after")
    mixed = tmp_path / "mixed"
    shutil.copytree(tmp_path / "after", mixed)
    shutil.copyfile(tmp_path / "before" / "store.sqlite3", mixed / "store.sqlite3")
    reseal(mixed)
    settings = context.settings.model_copy(update={"data_dir": tmp_path / "new", "store": StoreSettings()})
    assert restore(settings, mixed, quiet, clock=clock).erasures_learned == 1
    moved = open_context(settings, clock)
    with moved.database.reading() as connection:
        assert tables_holding(connection, names) == {}
    moved.close()


def reseal(folder: Path) -> None:
    """A manifest for what the folder holds now."""
    manifest = read_manifest(folder)
    parts = [part_of(folder, path) for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST]
    write_manifest(folder, msgspec.structs.replace(manifest, parts=parts))


def test_nothing_is_restored_over_anything(
    sqlite_context: "Context", opened: Opened, clock: ManualClock, tmp_path: Path
) -> None:
    live(sqlite_context)
    taken(sqlite_context, tmp_path / "backup")
    here = sqlite_context.settings
    with pytest.raises(RestoreRefused, match=r"not empty.*set data_dir"):
        restore(here.model_copy(update={"store": StoreSettings()}), tmp_path / "backup", quiet)
    with pytest.raises(RestoreRefused, match=r"exists.*store\.url"):
        restore(here.model_copy(update={"data_dir": tmp_path / "new"}), tmp_path / "backup", quiet)
    new = here.model_copy(update={"data_dir": tmp_path / "new", "store": StoreSettings()})
    for field, value in (("project", "other"), ("user_key_secret", SecretStr("another"))):
        with pytest.raises(RestoreRefused, match=field):
            restore(new.model_copy(update={field: value}), tmp_path / "backup", quiet)
    assert not (tmp_path / "new").exists(), "a refusal makes nothing"
    with pytest.raises(BackupFailed, match="not empty"):
        taken(sqlite_context, tmp_path / "backup")


@pytest.mark.parametrize(
    "harm", ["changed", *(pytest.param(one, marks=pytest.mark.full) for one in ("missing", "added", "manifest"))]
)
def test_a_backup_that_is_not_what_it_was_is_refused(sqlite_context: "Context", tmp_path: Path, harm: str) -> None:
    live(sqlite_context)
    backup, new = tmp_path / "backup", tmp_path / "new"
    taken(sqlite_context, backup)
    victim = backup / ("manifest.json" if harm == "manifest" else "log.sqlite3")
    if harm == "missing":
        victim.unlink()
    elif harm == "added":
        (backup / "adapters").mkdir()
        (backup / "adapters" / "more").write_text("x")
    elif harm == "manifest":
        victim.write_text(victim.read_text().replace('"project": "default"', '"project": "defaulT"'))
    else:
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
    settings = sqlite_context.settings.model_copy(update={"data_dir": new, "store": StoreSettings()})
    with pytest.raises(InvalidBackup, match="more" if harm == "added" else victim.name):
        restore(settings, backup, quiet)
    assert not new.exists()


def test_a_restore_that_was_killed_starts_again_and_is_used_by_nobody_meanwhile(
    sqlite_context: "Context", opened: Opened, tmp_path: Path
) -> None:
    live(sqlite_context)
    taken(sqlite_context, tmp_path / "backup")
    settings = sqlite_context.settings.model_copy(update={"data_dir": tmp_path / "new", "store": StoreSettings()})

    class Killed(BaseException):
        pass

    def dies(what: str, _bytes: int) -> None:
        if what == "store.sqlite3" and (tmp_path / "new" / "log.sqlite3").exists():
            raise Killed

    with pytest.raises(Killed):
        restore(settings, tmp_path / "backup", dies)
    assert (settings.data_dir / UNFINISHED_RESTORE).exists()
    with pytest.raises(RestoreUnfinished):
        open_context(settings)
    restore(settings, tmp_path / "backup", quiet)
    assert ids_of(opened(settings)) == ids_of(sqlite_context)


def test_a_store_that_serves_what_is_not_there_makes_no_backup(sqlite_context: "Context", tmp_path: Path) -> None:
    folder = add_adapter(sqlite_context, champion=False)
    (folder / "adapter_model.safetensors").write_bytes(b"other")
    assert taken(sqlite_context, tmp_path / "first").missing == ["loop@1"]
    with sqlite_context.database.transaction() as connection:
        connection.execute(
            insert(serving_state).values(
                project="default", champion="loop@1", last_proven="base", decision_id="", updated_at=1.0
            )
        )
    with pytest.raises(BackupFailed, match="loop@1"):
        taken(sqlite_context, tmp_path / "second")
    assert not list(tmp_path.glob("second*")), "a failure leaves nothing"


def test_what_is_written_meanwhile_is_in_the_store_or_still_on_the_log(
    sqlite_context: "Context", opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that come and are applied between the two copies."""
    live(sqlite_context)
    more = [event("carl-1", "dislike", BERT)]
    copy = files.copy_sqlite

    def meanwhile(source: Path, target: Path, grown: Any = lambda _bytes: None) -> None:
        copy(source, target, grown)
        if target.name == "store.sqlite3":
            send(sqlite_context, more)
            drain(sqlite_context)

    monkeypatch.setattr(files, "copy_sqlite", meanwhile)
    taken(sqlite_context, tmp_path / "backup")
    settings = sqlite_context.settings.model_copy(update={"data_dir": tmp_path / "new", "store": StoreSettings()})
    restore(settings, tmp_path / "backup", quiet)
    moved = opened(settings)
    assert more[0]["event_id"] not in ids_of(moved), "the store is older than the log"
    drain(moved)
    assert ids_of(moved) == ids_of(sqlite_context)


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.full)])
def test_a_log_that_is_cut_between_the_copies_is_noticed(
    sqlite_context: "Context", opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Retention takes records that the copied store has not applied: the two copies do not fit."""
    live(sqlite_context)
    copy, log, cut = files.copy_sqlite, sqlite_context.event_log, []
    assert isinstance(log, SqliteEventLog)

    def meanwhile(source: Path, target: Path, grown: Any = lambda _bytes: None) -> None:
        copy(source, target, grown)
        if target.name == "store.sqlite3" and len(cut) < times:
            send(sqlite_context, [event("carl-1", "dislike" if len(cut) % 2 else "like", BERT)])
            drain(sqlite_context)
            topic = feedback_topic(sqlite_context.settings)
            ends = log.committed(topic)[sqlite_context.settings.ingest.consumer_group]
            cut.append(log.trim(topic, float("inf"), ends))

    monkeypatch.setattr(files, "copy_sqlite", meanwhile)
    if times == 3:
        with pytest.raises(BackupFailed, match="cut from the log"):
            taken(sqlite_context, tmp_path / "backup")
        return
    taken(sqlite_context, tmp_path / "backup")
    assert cut[0] > 0
    settings = sqlite_context.settings.model_copy(update={"data_dir": tmp_path / "new", "store": StoreSettings()})
    restore(settings, tmp_path / "backup", quiet)
    moved = opened(settings)
    drain(moved)
    assert ids_of(moved) == ids_of(sqlite_context)


@pytest.mark.full
@pytest.mark.postgres
def test_a_sqlite_backup_fills_a_postgresql_store(
    sqlite_context: "Context", postgres_server: URL, opened: Opened, tmp_path: Path
) -> None:
    """From one machine to many."""
    live(sqlite_context)
    taken(sqlite_context, tmp_path / "backup")
    with fresh_database(postgres_server) as url:
        settings = sqlite_context.settings.model_copy(
            update={"data_dir": tmp_path / "new", "store": StoreSettings(url=url)}
        )
        restore(settings, tmp_path / "backup", quiet)
        moved = opened(settings)
        expected, found = rows(sqlite_context), rows(moved)
        assert {**found, "audit_entries": 0} == {**expected, "audit_entries": 0}
        moved.close()


def test_artifacts_of_runs_move_with_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.sqlite3"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE experiments (artifact_location TEXT)")
    connection.execute("CREATE TABLE runs (artifact_uri TEXT)")
    connection.execute("CREATE TABLE model_versions (source TEXT)")
    connection.execute("INSERT INTO experiments VALUES ('file:///old/data/mlflow-artifacts')")
    connection.execute("INSERT INTO runs VALUES ('/old/data/mlflow-artifacts/7'), ('/old/database/7')")
    connection.execute("INSERT INTO model_versions VALUES ('/old/data/adapters/loop/1')")
    connection.commit()
    assert registry_paths.move(file, "/old/data", "/new") == 3
    assert connection.execute("SELECT * FROM experiments").fetchall() == [("file:///new/mlflow-artifacts",)]
    assert connection.execute("SELECT * FROM runs").fetchall() == [("/new/mlflow-artifacts/7",), ("/old/database/7",)]
    assert connection.execute("SELECT * FROM model_versions").fetchall() == [("/new/adapters/loop/1",)]
    connection.close()
