"""The plugin is tried on a small suite of its own, in another process, with and without xdist."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.skips import allowed_patterns, unlisted

SUITE = """
import pytest

def test_runs(): pass

@pytest.mark.skip(reason="no such tool")
def test_skipped(): pass

@pytest.mark.xfail(reason="known", strict=True)
def test_expected_failure(): assert False
"""
MODULE_SKIP = "import pytest\npytest.skip('whole module', allow_module_level=True)\n"
ROOT = Path(__file__).parents[2]


def run_suite(folder: Path, *, ci: str, arguments: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "tests.plugins.skips", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(
        [*command, *arguments, "-c", "/dev/null", "--rootdir", str(folder)],
        cwd=ROOT,
        # Only the plugins that are tried: importing the others takes three quarters of a run so small.
        env={"PATH": "/usr/bin:/bin", "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "xdist"])
@pytest.mark.parametrize("source", [SUITE, MODULE_SKIP + SUITE], ids=["one test", "whole module"])
def test_a_skip_fails_a_build_server_only(tmp_path: Path, source: str, arguments: tuple[str, ...]) -> None:
    (tmp_path / "test_small.py").write_text(source)
    (tmp_path / "test_other.py").write_text("def test_ok(): pass\n")
    on_server = run_suite(tmp_path, ci="true", arguments=arguments)
    at_home = run_suite(tmp_path, ci="", arguments=arguments)
    assert on_server.returncode == 1, on_server.stdout
    assert "fail this run" in on_server.stdout
    assert "test_small.py" in on_server.stdout.split("fail this run")[1]
    assert at_home.returncode == 0, at_home.stdout + at_home.stderr


def test_a_run_without_skips_passes_on_a_build_server(tmp_path: Path) -> None:
    (tmp_path / "test_small.py").write_text("def test_ok(): pass\n")
    assert run_suite(tmp_path, ci="true").returncode == 0


def test_the_list_is_read_with_its_reasons() -> None:
    assert allowed_patterns("# heading\n\ntests/gpu/*  # needs CUDA\n") == ["tests/gpu/*"]


def test_a_pattern_covers_what_it_names() -> None:
    skips = [("tests/gpu/test_a.py::test_x", "no CUDA"), ("tests/db/test_b.py", "no server")]
    assert unlisted(skips, ["tests/gpu/*"]) == [("tests/db/test_b.py", "no server")]
