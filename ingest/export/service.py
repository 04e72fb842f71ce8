"""Exports: labels and pairs with their prompts and answers, as of an instant, for others to train on.

What was erased is not in the store and so in no export; exports made before are written down, and an erasure takes its
rows out of those that still lie where they were written (`ingest.export.redaction`).
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, cast, get_args

import msgspec

from infra.contracts import Interaction, PlauditError, uuid7
from infra.runtime import Context
from infra.settings import config_hash
from ingest.access import audit
from ingest.export.repository import ExportRepository
from ingest.export.shapes import kto_rows, label_rows, pair_rows, preference_rows
from ingest.export.writing import SUFFIXES, Format, Row, content_hash, write_manifest, write_rows
from ingest.rules import Problem
from ingest.wire import read_time

Kind = Literal["labels", "pairs"]
_AT_ONCE = 500
_decode = msgspec.msgpack.Decoder(Interaction).decode


class ExportExists(PlauditError):
    """The folder holds an export, or something else."""

    code = "export_exists"
    status = 409


class InvalidExport(PlauditError):
    """Something was asked for that no export has."""

    code = "invalid_export"
    status = 422


def asked(kind: str, form: str, as_of: str | None) -> tuple[Kind, Format, float | None]:
    """What the command line names, checked: kind, format, Unix seconds of an ISO 8601 instant. Raises InvalidExport."""
    if kind not in get_args(Kind) or form not in SUFFIXES:
        raise InvalidExport(f"no export of {kind!r} as {form!r}; formats are {', '.join(SUFFIXES)}", field="format")
    instant = None if as_of is None else read_time("as_of", as_of)
    if isinstance(instant, Problem):
        raise InvalidExport(instant.message, field="as_of")
    return cast("Kind", kind), form, instant


def export(
    context: Context,
    kind: Kind,
    form: Format,
    folder: Path,
    *,
    actor: str,
    as_of: float | None = None,
    objective: str = "love",
) -> dict[str, Any]:
    """Write `labels` or `pairs` into a new folder, with a manifest; returns the manifest.

    `as_of`: Unix seconds, default now. `objective`: the one whose value becomes the `label` of TRL's unpaired shape.
    Raises ExportExists for a folder that is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ExportExists(f"{folder} is not empty; name a new folder", field="out")
    folder.mkdir(parents=True, exist_ok=True)
    now = context.clock.now()
    instant = now if as_of is None else as_of
    path = folder / f"{kind}{SUFFIXES[form]}"
    tally = _Tally()
    with context.database.reading() as connection:
        repository = ExportRepository(connection, context.settings.project)
        source = repository.labels_as_of(instant) if kind == "labels" else repository.pairs_as_of(instant)
        rows = write_rows(path, _joined(repository, source, _shape(kind, form, objective), tally), form)
    manifest = {
        **_head(context, kind, form, objective),
        "file": path.name,
        "rows": rows,
        "read": tally.read,
        "without_answer_or_value": tally.read - rows,
        "as_of": instant,
        "made_at": now,
        "content_hash": content_hash(path),
    }
    write_manifest(folder, manifest)
    with context.database.transaction() as connection:
        ExportRepository(connection, context.settings.project).add(
            str(manifest["export_id"]), str(folder.absolute()), manifest, now
        )
        detail = {name: manifest[name] for name in ("export_id", "kind", "format", "rows", "as_of")}
        audit.record(connection, actor, "export.made", detail, project=context.settings.project, at=now)
    return manifest


def _head(context: Context, kind: Kind, form: Format, objective: str) -> dict[str, Any]:
    return {
        "export_id": str(uuid7()),
        "project": context.settings.project,
        "kind": kind,
        "format": form,
        "objective": objective if (kind, form) == ("labels", "trl-jsonl") else None,
        "config_hash": config_hash(context.settings),
    }


class _Tally:
    read = 0


def _shape(kind: Kind, form: Format, objective: str) -> Callable[[Any, Any], Iterator[Row]]:
    if kind == "pairs":
        return pair_rows if form == "parquet" else preference_rows
    return label_rows if form == "parquet" else lambda label, answers: kto_rows(label, answers, objective)


def _joined(
    repository: ExportRepository, source: Iterable[Any], shape: Callable[[Any, Any], Iterator[Row]], tally: _Tally
) -> Iterator[Row]:
    for some in _batches(source):
        tally.read += len(some)
        names = {row[name] for row in some for name in _NAMES if name in row}
        answers = {name: _decode(payload) for name, payload in repository.payloads(names).items()}
        for row in some:
            yield from shape(row, answers)


def _batches(source: Iterable[Any]) -> Iterator[list[Any]]:
    some: list[Any] = []
    for row in source:
        some.append(row)
        if len(some) == _AT_ONCE:
            yield some
            some = []
    if some:
        yield some


_NAMES = ("response_id", "preferred_response_id", "other_response_id")
