"""The first thing a child process runs, by path and on the standard library alone: bind its life to its parent's,
lower its priority, then become the real command.

    python -I child_bootstrap.py PARENT_PID NICENESS COMMAND [ARGUMENT ...]

This is a program of its own because code between fork and exec in a parent with threads may deadlock.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""prctl(2): the kernel sends this process a signal when the thread that made it ends. It survives execve."""


def main(arguments: list[str]) -> None:
    """Bind this process to its parent, lower its priority, then become the command."""
    parent, niceness, command = int(arguments[0]), int(arguments[1]), arguments[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        try:
            # Where memory runs out, the kernel takes the training and leaves the gateway.
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("500")
        except OSError:
            pass
    if os.getppid() != parent:
        sys.exit(75)  # the parent died before the line above could bind us to it
    os.nice(niceness)
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
