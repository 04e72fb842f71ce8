"""`plaudit backup` and `plaudit restore`."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.commands.common import console, settings

if TYPE_CHECKING:
    from plaudit.keeping.manifest import Tick

_MIB = 1024 * 1024


def backup(
    out: Annotated[Path, typer.Argument(help="A new folder; it appears whole or not at all.")],
    secrets: Annotated[
        bool, typer.Option("--secrets/--no-secrets", help="With the files of user secrets, where there are any.")
    ] = True,
    erasures_only: Annotated[
        bool, typer.Option("--erasures-only", help="Only who was erased, nameless, into a file: to be taken often.")
    ] = False,
) -> None:
    """Back up store, event log, registry, adapters and reward models while everything runs. Kafka and an MLflow server
    have backups of their own. The folder is as confidential as the store."""
    from plaudit.keeping.backup import back_up, back_up_erasures, expected_bytes

    current = settings()
    if erasures_only:
        print(f"{back_up_erasures(current, out)} erasures in {out}")
        return
    with _bar("backup", expected_bytes(current)) as tick:
        manifest = back_up(current, out, tick, secrets=secrets)
    print(f"{len(manifest.parts)} files, {manifest.bytes / _MIB:.1f} MiB in {out}; store at {manifest.revision}")
    if manifest.missing:
        print(f"without whole files: {', '.join(manifest.missing)}", file=sys.stderr)


def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `plaudit backup` made.", exists=True, file_okay=False)],
    tombstones_from: Annotated[
        str | None,
        typer.Option(
            help="Where later erasures are known: a store's URL, a data folder, a newer backup, or a file of "
            "`plaudit backup --erasures-only`."
        ),
    ] = None,
    receipt: Annotated[
        list[Path] | None, typer.Option(help="A receipt of an erasure that must hold afterwards; repeatable.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read and compare everything, restore nothing.")] = False,
) -> None:
    """Restore a backup into an empty data folder and an empty database; anything else is refused. People who were
    erased stay erased. Exit 1 when an erasure of a given receipt is not known here."""
    from plaudit.keeping.manifest import read_manifest
    from plaudit.keeping.manifest import verify as verify_parts

    manifest = read_manifest(folder)
    if verify:
        with _bar("verify", manifest.bytes) as tick:
            verify_parts(folder, manifest, tick)
        print(f"{len(manifest.parts)} files, {manifest.bytes / _MIB:.1f} MiB, all as they were written")
        return
    _restore(folder, tombstones_from, receipt or [], 2 * manifest.bytes)


def _restore(folder: Path, tombstones_from: str | None, receipts: list[Path], expected: int) -> None:
    from infra.runtime import configure_logging
    from ingest.access.audit import operator
    from plaudit.keeping.erased import erasures_at, receipts_of
    from plaudit.keeping.restore import restore as restore_backup

    current = settings()
    configure_logging(current, process="restore", stream=sys.stderr)
    newer = erasures_at(tombstones_from) if tombstones_from else []
    with _bar("restore", expected) as tick:
        done = restore_backup(current, folder, tick, newer=newer, actor=operator())
    unknown = done.unknown(receipts_of(receipts, current))
    print(
        f"restored into {current.data_dir}: store at {done.revision}, {done.erasures_learned} later erasures applied; "
        "start with `plaudit up`, or `plaudit ingest consume` before anybody is let in"
    )
    for path in unknown:
        print(f"{path}: this erasure is not known here; run `plaudit erase` for that person again", file=sys.stderr)
    if unknown or done.files_not_clean:
        raise typer.Exit(1)


@contextlib.contextmanager
def _bar(label: str, expected: int) -> "Iterator[Tick]":
    """A bar of bytes on the terminal; elsewhere nothing."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(label),
        BarColumn(24),
        DownloadColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[what]}"),
    )
    with Progress(*columns, console=console(), transient=True, disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task(label, total=max(expected, 1), what="")
        yield lambda what, done: progress.update(task, advance=done, what=what)
