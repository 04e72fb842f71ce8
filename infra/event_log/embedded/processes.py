"""Which process a group member lives in, so that a killed one's partitions are taken over at once."""

import os
from pathlib import Path


def _state_and_start(pid: int) -> tuple[str, str]:
    """State letter and start time in clock ticks since boot (fields 3 and 22 of /proc/PID/stat, see proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], fields[19]


def this_process() -> str:
    """`boot|namespace|pid|start`, or '' where /proc does not tell: then only the session timeout shows a death."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
        return "|".join((boot, namespace, str(os.getpid()), _state_and_start(os.getpid())[1]))
    except OSError:
        return ""


def surely_dead(process: str) -> bool:
    """Whether the process of that name is known to have ended; one of another container is never known to."""
    mine = this_process()
    if not process or not mine:
        return False
    boot, namespace, pid, start = process.split("|")
    my_boot, my_namespace, _, _ = mine.split("|")
    if boot != my_boot:
        return True  # SQLite's WAL mode needs all its users on one running kernel
    if namespace != my_namespace:
        return False
    try:
        state, found = _state_and_start(int(pid))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return found != start or state in "ZX"
