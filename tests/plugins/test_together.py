import subprocess
import sys
from pathlib import Path

from tests.plugins.together import ALONE, FIRST, FOLDERS, group_of, rank_of

OTHER = "import time\ndef test_other(): time.sleep(1.0)\n"
TEST = "import os\nfrom pathlib import Path\ndef test_one(): Path(os.environ['SEEN'], str(os.getpid())).touch()\n"


ROOT = Path(__file__).parents[2]


def test_a_shared_folder_or_file_is_one_group_and_long_tests_are_alone() -> None:
    assert group_of("tests/e2e/test_a.py::test_x") == group_of("tests/e2e/test_b.py::test_y[1]") == "tests/e2e/"
    assert group_of("tests/ingest/test_a.py::test_x") == group_of("tests/ingest/test_a.py::TestIt::test_y[a::b]")
    assert group_of("tests/ingest/test_a.py::test_x") != group_of("tests/ingest/test_b.py::test_x")
    assert group_of("tests/drills/test_a.py::test_x") != group_of("tests/drills/test_a.py::test_y")
    assert group_of("tests/e2e/test_rights.py::test_x") != "tests/e2e/", "it has a deployment of its own"


def test_what_takes_long_goes_first() -> None:
    names = ["tests/infra/test_a.py::x", "tests/plaudit/test_a.py::x", "tests/e2e/test_kill_drill.py::x"]
    assert sorted(names, key=rank_of) == names[::-1]
    assert rank_of("tests/oracles/test_a.py::x") == rank_of("tests/infra/test_a.py::x")


def test_what_is_named_is_there() -> None:
    assert [name for name in (*ALONE, *FOLDERS, *FIRST) if not (ROOT / name).exists()] == []


def test_two_workers_leave_the_folder_to_one(tmp_path: Path) -> None:
    folder, seen = tmp_path / "tests" / "e2e", tmp_path / "seen"
    folder.mkdir(parents=True)
    seen.mkdir()
    for number in range(6):
        (folder / f"test_{number}.py").write_text(TEST)
    (tmp_path / "tests" / "test_other.py").write_text(OTHER)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "2",
            "--dist",
            "loadgroup",
            "-p",
            "tests.plugins.together",
            "tests",
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "SEEN": str(seen), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(seen.iterdir())) == 1
