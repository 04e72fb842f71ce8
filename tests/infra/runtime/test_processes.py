import os
import subprocess
import sys

import pytest

from infra.runtime.processes import process_name, surely_dead
from tests.fixtures import wait_until


def test_this_process_is_alive() -> None:
    assert not surely_dead(process_name())
    assert process_name() == process_name(os.getpid())
    assert len(process_name()) < 110, "the holder column has room for 128, a run id included"


def test_a_zombie_and_a_reaped_process_are_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = process_name(process.pid)
    assert not surely_dead(name)
    process.kill()
    wait_until(lambda: surely_dead(name), what="the zombie to count as dead")
    process.communicate()
    assert surely_dead(name)


def test_a_process_that_got_the_pid_of_a_dead_one_is_another() -> None:
    *rest, start = process_name().split("|")
    assert surely_dead("|".join([*rest, str(int(start) - 1)]))


def test_a_run_after_the_name_changes_nothing() -> None:
    assert not surely_dead(process_name() + "|abc")


@pytest.mark.parametrize("part", [0, 2])
def test_another_host_or_container_is_never_known_to_be_dead(part: int) -> None:
    parts = process_name().split("|")
    parts[3] = "1"  # a pid that is somebody else's here
    parts[part] = "elsewhere"
    assert not surely_dead("|".join(parts))


def test_before_the_last_boot_everybody_died() -> None:
    parts = process_name().split("|")
    parts[1] = "0000"
    assert surely_dead("|".join(parts))


@pytest.mark.parametrize("name", ["", "h", "a|b|c|d", "||||", "host|boot|ns|pid|"])
def test_a_name_that_tells_nothing_is_not_dead(name: str) -> None:
    assert not surely_dead(name)
