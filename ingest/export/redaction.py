"""Erased people's rows out of exports made before, where these still lie where they were written."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from infra.runtime import Context
from ingest.export.repository import ExportRepository
from ingest.export.writing import Format, Row, content_hash, read_rows, write_manifest, write_rows

_NAMES = ("response_id", "other_response_id")


def redact_exports(context: Context, responses: Collection[str], touched: Collection[str] = ()) -> list[dict[str, Any]]:
    """Take every row about these responses out of every known export; one line for each export, for the receipt.

    `touched` are other people's answers whose labels counted the person: their rows go as well. `state`: clean (held
    nothing), rewritten, or gone (not where it was written: whoever moved or copied it must follow).
    """
    with context.database.reading() as connection:
        known = ExportRepository(connection, context.settings.project).all()
    gone = frozenset(responses) | frozenset(touched)
    return [_redact(context, row, gone) for row in known]


def _redact(context: Context, row: Any, gone: frozenset[str]) -> dict[str, Any]:
    manifest: dict[str, Any] = dict(row["manifest"])
    folder, form = Path(row["path"]), row["format"]
    path = folder / manifest["file"]
    said = {"export_id": row["export_id"], "kind": row["kind"], "made_at": row["made_at"]}
    if not path.exists():
        return {**said, "state": "gone"}
    kept = sum(1 for _ in _kept(path, form, gone))
    if kept == manifest["rows"]:
        return {**said, "state": "clean"}
    removed = manifest["rows"] - kept
    write_rows(path, _kept(path, form, gone), form)
    manifest.update(rows=kept, rows_erased=manifest.get("rows_erased", 0) + removed, content_hash=content_hash(path))
    write_manifest(folder, manifest)
    with context.database.transaction() as connection:
        ExportRepository(connection, context.settings.project).set_manifest(row["export_id"], manifest)
    return {**said, "state": "rewritten", "rows_erased": removed}


def _kept(path: Path, form: Format, gone: frozenset[str]) -> Iterator[Row]:
    for row in read_rows(path, form):
        if gone.isdisjoint(row.get(name) for name in _NAMES):
            yield row
