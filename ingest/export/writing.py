"""Files of exports: Parquet or JSON lines, whole or not at all, with a manifest that says what is in them."""

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

Format = Literal["parquet", "trl-jsonl"]
Row = dict[str, Any]

MANIFEST = "manifest.json"
_ROWS_AT_ONCE = 2000
SUFFIXES: dict[Format, str] = {"parquet": ".parquet", "trl-jsonl": ".jsonl"}


def write_rows(path: Path, rows: Iterable[Row], form: Format) -> int:
    """Write a file that appears whole or not at all; returns the number of rows."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        written = _parquet(draft, rows) if form == "parquet" else _jsonl(draft, rows)
        _flush(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return written


def read_rows(path: Path, form: Format) -> Iterator[Row]:
    """The rows of a file that `write_rows` made."""
    if form == "parquet":
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                yield from batch.to_pylist()
        return
    with path.open("rb") as file:
        yield from map(msgspec.json.decode, file)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """The manifest beside the file, whole or not at all."""
    draft = folder / f".{MANIFEST}.{secrets.token_hex(6)}.part"
    draft.write_text(json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    _flush(draft)
    os.replace(draft, folder / MANIFEST)


def content_hash(path: Path) -> str:
    """SHA-256 (hex) of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _jsonl(path: Path, rows: Iterable[Row]) -> int:
    encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
    count = 0
    with path.open("wb") as file:
        for row in rows:
            file.write(encode(row) + b"\n")
            count += 1
    return count


def _parquet(path: Path, rows: Iterable[Row]) -> int:
    """Columns are those of all rows, in order of first appearance; a column that a row lacks is null there."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    held = list(rows)
    names = list(dict.fromkeys(name for row in held for name in row))
    arrays = {name: [row.get(name) for row in held] for name in names}
    fields = [arrow.field(name, _arrow_type(arrow, name, arrays[name])) for name in names]
    parquet.write_table(arrow.table(arrays, schema=arrow.schema(fields)), path)
    return len(held)


def _arrow_type(arrow: Any, name: str, values: list[Any]) -> Any:
    """Types by name, so that a column of nothing but nulls has the type it has elsewhere."""
    if name.startswith(("value.", "weight.")) or name in ("weight", "made_at", "value"):
        return arrow.float64()
    if name in ("choice", "other_choice", "version"):
        return arrow.int32()
    if name == "prompt":
        return arrow.list_(arrow.struct([("role", arrow.string()), ("content", arrow.string())]))
    return arrow.string()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
