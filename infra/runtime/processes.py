"""Names for processes, so that the lease of one that was killed can be taken over at once instead of at its expiry."""

import os
import socket
import time
from pathlib import Path

SEPARATOR = "|"
_IMPORTED_AT = time.time()


def process_name(pid: int | None = None) -> str:
    """`host|boot|namespace|pid|start` of a process on this machine (default: this one).

    The start time, in clock ticks since boot, tells a process from a later one that got the same pid. Where there is
    no /proc the last three parts that cannot be known are empty, and only expiry shows a death.
    """
    host = socket.gethostname()[:48].replace(SEPARATOR, "-")
    chosen = os.getpid() if pid is None else pid
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")[:16]
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
        return SEPARATOR.join((host, boot, namespace, str(chosen), _state_and_start(chosen)[1]))
    except OSError:
        return SEPARATOR.join((host, "", "", str(chosen), ""))


def surely_dead(name: str) -> bool:
    """Whether the process of that name has certainly ended. False when in doubt: another host or container, say."""
    parts = name.split(SEPARATOR)
    mine = process_name().split(SEPARATOR)
    if len(parts) < 5 or not parts[4] or not mine[4] or parts[0] != mine[0]:
        return False
    if parts[1] != mine[1]:
        return True  # this host has been started anew since
    if parts[2] != mine[2]:
        return False
    try:
        state, start = _state_and_start(int(parts[3]))
    except (FileNotFoundError, ProcessLookupError):
        return True
    except (OSError, ValueError):
        return False
    return start != parts[4] or state in "ZX"


def process_started_at() -> float:
    """When this process began, Unix seconds, to a hundredth of a second; where there is no /proc, when this module was
    imported."""
    try:
        stat = Path("/proc/stat").read_text()
        booted = float(next(line for line in stat.splitlines() if line.startswith("btime")).split()[1])
        return booted + float(_state_and_start(os.getpid())[1]) / os.sysconf("SC_CLK_TCK")
    except (OSError, StopIteration, ValueError):
        return _IMPORTED_AT


def _state_and_start(pid: int) -> tuple[str, str]:
    """State letter and start time in clock ticks since boot: fields 3 and 22 of /proc/PID/stat, proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], fields[19]
