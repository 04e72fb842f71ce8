import subprocess
import sys
from pathlib import Path

from tests.plugins.together import group_of

TEST = "import os\nfrom pathlib import Path\ndef test_one(): Path(os.environ['SEEN'], str(os.getpid())).touch()\n"


def test_a_shared_folder_is_one_group_and_other_tests_are_alone() -> None:
    assert group_of("tests/e2e/test_a.py::test_x") == group_of("tests/e2e/test_b.py::test_y[1]") == "tests/e2e/"
    assert group_of("tests/ingest/test_a.py::test_x") != group_of("tests/ingest/test_a.py::test_y")


def test_two_workers_leave_the_folder_to_one(tmp_path: Path) -> None:
    folder, seen = tmp_path / "tests" / "e2e", tmp_path / "seen"
    folder.mkdir(parents=True)
    seen.mkdir()
    for number in range(6):
        (folder / f"test_{number}.py").write_text(TEST)
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
