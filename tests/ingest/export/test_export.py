"""Exports hold what the store held then, in the shapes others read, without anybody erased; and name no person."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.contracts import ManualClock
from infra.runtime import Context, JobContext
from infra.settings import config_hash
from ingest.access.service import audit_trail
from ingest.erasure.service import erase
from ingest.export.service import ExportExists, InvalidExport, asked, export
from ingest.export.writing import content_hash, read_rows
from ingest.jobs import run_label
from tests.ingest.erasure.town import ANNA, ANSWERS, BERT, CARL, drain, key_of, live

if TYPE_CHECKING:
    from ingest.export.writing import Format

FORMS = ("parquet", "trl-jsonl")


@pytest.fixture
def town(context: Context, clock: ManualClock) -> Context:
    """Everybody has reacted and all windows are closed."""
    live(context)
    clock.advance(30 * 86400.0)
    drain(context)
    assert run_label(JobContext(context)).status == "done"
    return context


def rows_of(folder: Path) -> list[dict[str, Any]]:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert content_hash(folder / manifest["file"]) == manifest["content_hash"]
    rows = list(read_rows(folder / manifest["file"], manifest["format"]))
    assert len(rows) == manifest["rows"]
    return rows


def test_labels_as_parquet(town: Context, tmp_path: Path) -> None:
    manifest = export(town, "labels", "parquet", tmp_path / "out", actor="test")
    rows = {row["response_id"]: row for row in rows_of(tmp_path / "out")}
    assert set(rows) == set(ANSWERS.values())
    row = rows[ANSWERS["bert-1"]]
    assert row["prompt"] == [{"role": "user", "content": "What is a tide?"}]
    assert row["completion"] == "The answer to bert-1"
    assert row["value.sentiment"] == pytest.approx(0.5)
    assert row["value.love"] == 1.0, "of those it was shown to"
    assert row["version"] == 1
    assert row["status"] == "final"
    assert manifest["config_hash"] == config_hash(town.settings)
    assert manifest["as_of"] == town.clock.now()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["labels.parquet", "manifest.json"]


def test_labels_in_the_unpaired_shape_of_trl(town: Context, tmp_path: Path) -> None:
    export(town, "labels", "trl-jsonl", tmp_path / "out", actor="test", objective="love")
    rows = {row["response_id"]: row for row in rows_of(tmp_path / "out")}
    assert set(rows) == {ANSWERS[name] for name in ("anna-1", "bert-1", "carl-1")}, "love needs `shown`"
    row = rows[ANSWERS["carl-1"]]
    assert row["prompt"] == [{"role": "user", "content": "What is a tide?"}]
    assert row["completion"] == [{"role": "assistant", "content": "The answer to carl-1"}]
    assert row["label"] is True


def test_pairs_in_both_shapes(town: Context, tmp_path: Path) -> None:
    export(town, "pairs", "trl-jsonl", tmp_path / "lines", actor="test")
    rows = rows_of(tmp_path / "lines")
    assert len(rows) == 2
    first = next(row for row in rows if row["response_id"] == ANSWERS["bert-1"])
    assert first["chosen"] == [{"role": "assistant", "content": "The answer to bert-1"}]
    assert first["rejected"] == [{"role": "assistant", "content": "The answer to bert-2"}]
    export(town, "pairs", "parquet", tmp_path / "table", actor="test")
    table = rows_of(tmp_path / "table")
    assert {(row["chosen"], row["rejected"]) for row in table} == {
        ("The answer to bert-1", "The answer to bert-2"),
        ("The answer to bert-2", "The answer to bert-1"),
    }


@pytest.mark.parametrize("form", FORMS)
def test_an_erasure_follows_into_exports_made_before(town: Context, tmp_path: Path, form: "Format") -> None:
    for kind in ("labels", "pairs"):
        export(town, kind, form, tmp_path / kind, actor="test")  # type: ignore[arg-type]
    export(town, "labels", form, tmp_path / "moved", actor="test")
    (tmp_path / "moved").rename(tmp_path / "elsewhere")
    others = [row for row in rows_of(tmp_path / "labels") if row["response_id"] == ANSWERS["carl-1"]]
    receipt = erase(town, user=ANNA, actor="test")
    assert [one["state"] for one in receipt["exports"]] == ["rewritten", "rewritten", "gone"]
    left = rows_of(tmp_path / "labels")
    assert [row for row in left if row["response_id"] == ANSWERS["carl-1"]] == others
    gone = {ANSWERS["anna-1"], ANSWERS["anna-2"], ANSWERS["bert-1"]}
    assert gone.isdisjoint(row["response_id"] for row in left)
    assert json.loads((tmp_path / "labels" / "manifest.json").read_text())["rows_erased"] > 0
    fresh = tmp_path / "fresh"
    export(town, "labels", form, fresh, actor="test")
    assert {ANSWERS["anna-1"], ANSWERS["anna-2"]}.isdisjoint(row["response_id"] for row in rows_of(fresh))


@pytest.mark.parametrize("kind", ["labels", "pairs"])
@pytest.mark.parametrize("form", FORMS)
def test_no_person_is_named(town: Context, tmp_path: Path, kind: Any, form: "Format") -> None:
    export(town, kind, form, tmp_path / "out", actor="test")
    said = json.dumps(rows_of(tmp_path / "out"))
    assert not any(key_of(town, person) in said for person in (ANNA, BERT, CARL))


def test_as_of_the_past_there_was_less(town: Context, tmp_path: Path) -> None:
    manifest = export(town, "labels", "parquet", tmp_path / "out", actor="test", as_of=1.0)
    assert manifest["rows"] == 0
    assert rows_of(tmp_path / "out") == []


def test_exports_are_audited_and_never_overwrite(town: Context, tmp_path: Path) -> None:
    export(town, "pairs", "parquet", tmp_path / "out", actor="ops")
    assert [(entry.action, entry.actor) for entry in audit_trail(town, "export")] == [("export.made", "ops")]
    with pytest.raises(ExportExists):
        export(town, "pairs", "parquet", tmp_path / "out", actor="ops")


def test_what_the_command_line_asks_is_checked() -> None:
    assert asked("labels", "parquet", None) == ("labels", "parquet", None)
    assert asked("pairs", "trl-jsonl", "1970-01-02T00:00:00Z") == ("pairs", "trl-jsonl", 86400.0)
    for kind, form, as_of in (("labels", "csv", None), ("people", "parquet", None), ("labels", "parquet", "soon")):
        with pytest.raises(InvalidExport):
            asked(kind, form, as_of)
