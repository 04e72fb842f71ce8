"""A folder that appears whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.contracts import PlauditError


class BackupFailed(PlauditError):
    """No backup was made."""

    code = "backup_failed"
    status = 503


@contextmanager
def drafted(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, for its owner alone, that becomes `out` at the end, or is removed when an error
    passes. Raises BackupFailed where `out` holds anything."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BackupFailed(f"{out} exists and is not empty: name a new folder", field="out")
    draft = out.with_name(f"{out.name}.unfinished")
    shutil.rmtree(draft, ignore_errors=True)  # of a backup that was killed
    draft.mkdir(parents=True, mode=0o700)
    try:
        yield draft
        if out.exists():
            out.rmdir()
        draft.rename(out)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
