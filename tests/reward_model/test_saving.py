"""A full disk is told as one, whoever noticed it; other failures stay what they are."""

import errno
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from reward_model.saving import NoSpaceLeft, means_full, no_space_said


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_the_systems_words(tmp_path: Path, code: int) -> None:
    with pytest.raises(NoSpaceLeft, match=r"make room") as caught, no_space_said(tmp_path):
        raise OSError(code, "that is it")
    assert str(tmp_path) in caught.value.message
    assert "champion" in caught.value.message


def test_libraries_words() -> None:
    assert means_full(sqlite3.OperationalError("database or disk is full"))
    outer = RuntimeError("could not save")
    outer.__cause__ = OSError(errno.ENOSPC, "no")
    assert means_full(outer)
    assert not means_full(OSError(errno.EACCES, "denied"))
    assert not means_full(None)


def test_others_pass(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), no_space_said(tmp_path):
        raise PermissionError(errno.EACCES, "denied")


def test_safetensors_says_it_in_words_we_know(tmp_path: Path) -> None:
    """A real file limit, in a child: the limit of a process cannot be raised again."""
    code = (
        "import resource, signal, sys, torch\n"
        "from safetensors.torch import save_file\n"
        "from reward_model.saving import means_full\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    save_file({'x': torch.zeros(100_000)}, sys.argv[1])\n"
        "except Exception as error:\n    sys.exit(0 if means_full(error) else f'{type(error)}: {error}')\n"
        "sys.exit('nothing was raised')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
