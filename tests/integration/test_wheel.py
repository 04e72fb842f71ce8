"""The wheel as somebody else gets it: built, installed into a fresh environment, and used."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("plaudit", "serving", "policy_update", "reward_model", "ab_testing", "ingest", "infra")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel alone, and borrows its dependencies from this one."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=True)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--no-deps", "-q"]
    subprocess.run([*pip, "--no-index", str(wheel)], check=True, capture_output=True)
    # Behind the wheel's own packages; a plain path, so that this environment's .pth files (the checkout) stay out.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def run(installed: Path, *arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PLAUDIT_", "PYTHON"))}
    return subprocess.run(
        [str(installed / arguments[0]), *arguments[1:]],
        cwd=cwd,
        env={**clean, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_holds_what_runs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == set(PACKAGES)
    assert not any(name.startswith("infra/deploy/") for name in names)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert any(name.startswith("infra/db/migrations/versions/") and name.endswith(".py") for name in names)
    assert any(name.startswith("plaudit/demo/templates/") for name in names)
    assert "ingest/browser/plaudit-feedback.js" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.endswith((".pyc", ".sqlite3")) or "/tests/" in f"/{name}"]


def test_every_data_file_of_the_source_is_in_it(wheel: Path) -> None:
    """Templates, prompts, static files: whatever git tracks beside the code."""
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        tracked = [str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    else:
        tracked = [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]
    deployment = "infra/deploy/"
    missing = {name for name in tracked if not name.startswith(deployment)} - set(zipfile.ZipFile(wheel).namelist())
    assert missing == set()


def test_the_command_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    result = run(installed, "plaudit", "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "migrate" in result.stdout
    code = "import infra, plaudit; print(infra.__file__, plaudit.__file__)"
    where = run(installed, "python", "-c", code, cwd=tmp_path).stdout.split()
    assert len(where) == 2
    assert all(file.startswith(str(installed.parent)) for file in where), where


def test_migrations_run_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite3"
    result = run(installed, "plaudit", "migrate", cwd=tmp_path, PLAUDIT_STORE__URL=url)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "store.sqlite3").stat().st_size > 0
