"""A process that appends and says what was acknowledged, killed while it does."""

import signal
import subprocess
import sys
from pathlib import Path


def acknowledged_by_the_killed(program: str, folder: Path, after: int) -> set[int]:
    """The numbers of all whole `ack NUMBER` lines of `program`, which gets the folder, and SIGKILL after so many.

    Its last line may be cut anywhere: Python that writes unbuffered (`PYTHONUNBUFFERED`) sends a line in pieces.
    """
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(after)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines(keepends=True)
    return {int(line.split()[1]) for line in lines if line.startswith("ack") and line.endswith("\n")}
