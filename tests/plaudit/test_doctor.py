"""Each check against a real thing that is right, and one that is wrong."""

import socket
from pathlib import Path

import pytest

from infra.contracts import ManualClock
from infra.db import migrate
from infra.event_log import open_event_log
from infra.runtime import Health
from infra.settings import Settings, load_settings
from plaudit import doctor
from plaudit.doctor import Finding, examine, existing_ancestor, unmet
from tests.fixtures.helpers import free_port


def settings_in(folder: Path, **values: object) -> Settings:
    return load_settings(overrides={"data_dir": str(folder / "data"), **values})


def findings(settings: Settings) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(settings)}


def test_a_fresh_machine_has_notes_and_no_failures(tmp_path: Path) -> None:
    found = findings(settings_in(tmp_path, **{"serving.port": free_port()}))
    assert {subject for subject, finding in found.items() if finding.status == "fail"} == set()
    assert {subject for subject, finding in found.items() if finding.status == "note"} >= {"store", "event log"}
    assert not (tmp_path / "data").exists(), "looking makes nothing"


def test_a_migrated_store_and_a_made_log_are_ok(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.data_dir.mkdir()
    migrate(settings.store_url)
    open_event_log(settings, ManualClock()).close()
    assert doctor.check_database(settings).status == "ok"
    assert doctor.check_event_log(settings).status == "ok"


def test_a_store_without_our_schema_asks_for_migrate(tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite3").touch()
    finding = doctor.check_database(settings_in(tmp_path, **{"store.url": f"sqlite:///{tmp_path}/empty.sqlite3"}))
    assert finding.status == "fail"
    assert "plaudit migrate" in finding.remedy


def test_an_unreachable_server_is_a_failure_with_a_remedy(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://nobody:secret@127.0.0.1:{free_port()}/nothing"
    finding = doctor.check_database(settings_in(tmp_path, **{"store.url": url}))
    assert finding.status == "fail"
    assert "store.url" in finding.remedy
    assert "secret" not in finding.detail


def test_a_taken_port_is_a_failure(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = settings_in(tmp_path, **{"serving.host": "127.0.0.1", "serving.port": taken.getsockname()[1]})
        finding = doctor.check_ports(settings)
    assert finding.status == "fail"
    assert "serving.port" in finding.remedy


def test_a_port_that_plaudit_itself_has_is_no_failure(tmp_path: Path) -> None:
    """`kubectl exec GATEWAY -- plaudit doctor --production`, as the notes of the chart say, must be able to exit 0."""
    from plaudit.operations import operations

    for host in ("127.0.0.1", "0.0.0.0"):
        port = free_port()
        with operations(Health(), host, port, lambda: None):
            settings = settings_in(tmp_path, **{"serving.host": host, "serving.port": port})
            finding = doctor.check_ports(settings)
        assert (finding.status, finding.remedy) == ("ok", "")


def test_a_model_that_is_no_folder_and_a_model_that_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert doctor.check_model(settings_in(tmp_path, **{"model.base": str(tmp_path)})).status == "ok"
    assert doctor.check_model(settings_in(tmp_path, **{"model.base": "someone/model"})).status == "note"


def test_unmet_requirements_are_named_with_their_bounds() -> None:
    assert unmet(["pytest>=1", "pytest<1; python_version > '3'", "no-such-thing>=2", "other; extra == 'x'"]) == [
        f"pytest {pytest.__version__} is not <1",
        "no-such-thing is missing",
    ]


def test_a_check_that_breaks_is_a_failure_not_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(settings: Settings) -> Finding:
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(doctor, "CHECKS", (("disk", broken),))
    (finding,) = examine(settings_in(tmp_path))
    assert (finding.subject, finding.status) == ("disk", "fail")
    assert "disk on fire" in finding.detail


def test_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    assert existing_ancestor(tmp_path / "a" / "b") == tmp_path


def test_a_store_that_does_not_know_an_erasure_is_a_failure(tmp_path: Path) -> None:
    """As after the restore of a backup: the log knows more than the store."""
    from sqlalchemy import delete

    from infra.db.tables import consumer_offsets
    from infra.runtime import open_context
    from ingest.consumer import FeedbackConsumer
    from ingest.erasure.service import erase

    settings = settings_in(tmp_path)
    assert doctor.check_erasures(settings).status == "ok"
    context = open_context(settings, ManualClock())
    try:
        erase(context, user="anna", actor="test")
        consumer = FeedbackConsumer(context)
        consumer.drain()
        consumer.close()
        assert doctor.check_erasures(settings).status == "ok"
        with context.database.transaction() as connection:
            connection.execute(delete(consumer_offsets))
        finding = doctor.check_erasures(settings)
        assert finding.status == "fail"
        assert "1 erasures" in finding.detail
        consumer = FeedbackConsumer(context)
        consumer.drain()
        consumer.close()
        assert doctor.check_erasures(settings).status == "ok"
    finally:
        context.close()


def test_an_open_gateway_is_noted(tmp_path: Path) -> None:
    assert doctor.check_access(settings_in(tmp_path)).status == "ok"
    open_to_all = settings_in(tmp_path, **{"serving.host": "0.0.0.0"})
    assert doctor.check_access(open_to_all).status == "note"
    kept = settings_in(tmp_path, **{"serving.host": "0.0.0.0", "access.require_keys": True})
    assert doctor.check_access(kept).status == "ok"
