"""Who is dead."""

import subprocess
import sys

from infra.event_log.embedded.processes import surely_dead, this_process
from tests.fixtures.helpers import sigkill, wait_until


def _other(pid: int, start: str = "1") -> str:
    boot, namespace, _, _ = this_process().split("|")
    return "|".join((boot, namespace, str(pid), start))


def test_this_process_lives() -> None:
    assert not surely_dead(this_process())


def test_an_ended_process_is_dead_before_it_is_reaped_and_after() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with open(f"/proc/{child.pid}/stat") as stat:
            name = _other(child.pid, stat.read().rpartition(")")[2].split()[19])
        assert not surely_dead(name)
        child.kill()
        # Nobody has waited for it: it stays a zombie, with its pid, until somebody does.
        wait_until(lambda: surely_dead(name), 30.0, "its death")
        assert child.returncode is None
    finally:
        sigkill(child)
    assert surely_dead(name)


def test_a_reused_pid_is_another_process() -> None:
    _, _, pid, start = this_process().split("|")
    assert surely_dead(_other(int(pid), str(int(start) + 1)))


def test_of_another_container_nothing_is_known_and_after_a_reboot_all_are_dead() -> None:
    boot, namespace, pid, start = this_process().split("|")
    assert not surely_dead("|".join((boot, "pid:[1]", "999999", start)))
    assert surely_dead("|".join(("another-boot", namespace, pid, start)))
    assert not surely_dead("")
