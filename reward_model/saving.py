"""A full disk, said plainly: what was being written cannot be kept, and nothing that stood before has changed."""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from infra.contracts import PlauditError

_CODES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_WORDS = ("no space left", "disk quota exceeded", "file too large", "database or disk is full")
"""How libraries say it that wrap the system's error in one of their own: safetensors, SQLite."""


class NoSpaceLeft(PlauditError):
    """A training could not write what it made."""

    code = "no_space_left"
    status = 507


@contextlib.contextmanager
def no_space_said(folder: Path) -> Iterator[None]:
    """Turn any error that means a full disk (or quota, or file limit) into NoSpaceLeft; others pass."""
    try:
        yield
    except Exception as error:
        if not means_full(error):
            raise
        free = shutil.disk_usage(folder).free if folder.exists() else 0
        raise NoSpaceLeft(
            f"the training could not be written ({_first_line(error)}); {free / 1e6:.0f} MB are free under {folder}. "
            "The champion and all versions are as they were, features that were made are kept: make room (or raise "
            "the quota or the file size limit), then run `plaudit reward-model train` again",
            field="data_dir",
        ) from error


def means_full(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, says that nothing more can be written."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _CODES:
            return True
        if any(words in str(error).lower() for words in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
