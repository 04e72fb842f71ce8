"""`plaudit --help` answers at once: nothing heavy is imported before a command needs it."""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.architecture.source import ROOT

HEAVY = ("torch", "transformers", "peft", "mlflow", "kafka", "sklearn", "scipy", "numpy", "sqlalchemy")
HELP = (
    "import json, sys\n"
    "sys.argv = ['plaudit', '--help']\n"
    "from plaudit.cli import main\n"
    "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
    "print(json.dumps(sorted(sys.modules)))\n"
)


def imported_by(code: str) -> set[str]:
    """Top-level modules in sys.modules after `code`, whose last line of output lists them."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_help_imports_nothing_heavy() -> None:
    assert imported_by(HELP) & set(HEAVY) == set()


@pytest.mark.parametrize(
    "module", ["infra.contracts", "infra.settings", "ab_testing.routing", "ingest.jobs", "plaudit.jobs"]
)
def test_light_modules_stay_light(module: str) -> None:
    code = f"import json, sys, {module}\nprint(json.dumps(sorted(sys.modules)))"
    assert imported_by(code) & {"torch", "transformers", "peft", "mlflow", "kafka"} == set()


def test_the_table_of_jobs_is_read_without_heavy_imports() -> None:
    code = "import json, sys\nfrom plaudit.jobs import all_jobs\nall_jobs()\nprint(json.dumps(sorted(sys.modules)))"
    assert imported_by(code) & {"torch", "transformers", "peft", "mlflow", "kafka"} == set()


def test_help_takes_less_than_half_a_second() -> None:
    """Processor time of the best of five: what an idle machine would show, also when others use this one."""
    command = [sys.executable, "-c", HELP]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)  # byte code is compiled once
    assert min(_processor_seconds(command) for _ in range(5)) < 0.5


def _processor_seconds(command: list[str]) -> float:
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    after, elapsed = os.times(), time.perf_counter() - started
    used = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    return min(used, elapsed)
