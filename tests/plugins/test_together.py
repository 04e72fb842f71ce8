import subprocess
import sys
from pathlib import Path

from tests.plugins.together import ALONE, FIRST, FOLDERS, begun_elsewhere, group_of, place_of, rank_of

OTHER = "import time\ndef test_other(): time.sleep(1.0)\n"
TEST = """
import gc, os
from pathlib import Path

def test_one():
    Path(os.environ["SEEN"], str(os.getpid())).touch()

def test_the_collector_works_on_what_tests_make():
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000
"""

ROOT = Path(__file__).parents[2]


def test_a_shared_folder_or_file_is_one_group_and_long_tests_are_alone() -> None:
    assert group_of("tests/e2e/test_a.py::test_x") == group_of("tests/e2e/test_b.py::test_y[1]") == "tests/e2e/"
    assert group_of("tests/ingest/test_a.py::test_x") == group_of("tests/ingest/test_a.py::TestIt::test_y[a::b]")
    assert group_of("tests/ingest/test_a.py::test_x") != group_of("tests/ingest/test_b.py::test_x")
    assert group_of("tests/drills/test_a.py::test_x") != group_of("tests/drills/test_a.py::test_y")
    assert group_of("tests/e2e/test_rights.py::test_x") != "tests/e2e/", "it has a deployment of its own"


def test_what_takes_long_goes_first() -> None:
    names = ["tests/oracles/test_a.py::x", "tests/plaudit/test_a.py::x", "tests/e2e/test_kill_drill.py::x"]
    assert sorted(names, key=rank_of) == names[::-1]
    assert rank_of("tests/oracles/test_a.py::x") == rank_of("tests/conformance/test_a.py::x")


def test_what_is_named_is_there() -> None:
    assert [name for name in (*ALONE, *FOLDERS, *FIRST) if not (ROOT / name).exists()] == []


def test_order_is_by_rank_and_then_as_folders_are_read() -> None:
    names = ["tests/ingest/test_b.py::x", "tests/ingest/a/test_a.py::x", "tests/e2e/test_readme.py::x"]
    assert sorted(names, key=place_of) == [names[2], names[1], names[0]]


def test_every_worker_begins_elsewhere_and_leaves_nothing_out(tmp_path: Path) -> None:
    for name in ("a/test_1.py", "a/test_2.py", "b/c/test_3.py", "d/test_4.py", "e/helpers.py", "__pycache__/test_5.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    first, second, third = (begun_elsewhere(tmp_path, worker / 3) for worker in range(3))
    assert first == [str(tmp_path / name) for name in "abd"]
    assert second == [*first[1:], first[0]]
    assert third == [first[2], *first[:2]]
    assert begun_elsewhere(tmp_path / "e", 0.5) == []


def test_two_workers_leave_the_folder_to_one(tmp_path: Path) -> None:
    folder, seen = tmp_path / "tests" / "e2e", tmp_path / "seen"
    folder.mkdir(parents=True)
    seen.mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    for number in range(6):
        (folder / f"test_{number}.py").write_text(TEST)
    (tmp_path / "tests" / "test_other.py").write_text(OTHER)
    options = "-q -p xdist -n 2 --dist loadgroup -p tests.plugins.together tests"
    # Only the plugins that are tried: importing the others takes three quarters of a run so small.
    environment = {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options.split()],
        cwd=tmp_path,
        env={**environment, "SEEN": str(seen)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(seen.iterdir())) == 1
