"""A skip is a test that did not run. With CI=true every skip must stand on `tests/allowed_skips.txt`, or the run fails.

A line of the list: a glob over test ids, two spaces or more, `#` and the reason. Loaded with `-p tests.plugins.skips`;
works under xdist, where skips of whole modules stay in the worker unless they are sent along.
"""

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

ALLOWED = Path(__file__).parent.parent / "allowed_skips.txt"
_KEY = "plaudit_collected_skips"


def allowed_patterns(text: str) -> list[str]:
    """The globs of the list; comments and empty lines are left out."""
    stripped = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in stripped if line]


def unlisted(skips: list[tuple[str, str]], patterns: list[str]) -> list[tuple[str, str]]:
    """Those `(test id, reason)` that no pattern covers."""
    return [skip for skip in skips if not any(fnmatchcase(skip[0], pattern) for pattern in patterns)]


def strict() -> bool:
    """Whether unlisted skips fail this run."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


class Skips:
    """Collects skips, and on the controlling process turns unlisted ones into a failed run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._skips: list[tuple[str, str]] = []
        self.unlisted: list[tuple[str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._skips.append((report.nodeid, _reason(report)))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._skips.append((report.nodeid, _reason(report)))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._skips.extend(tuple(skip) for skip in getattr(node, "workeroutput", {}).get(_KEY, ()))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(self._config, "workerinput"):
            # Skipped tests reach the controller by themselves; skipped modules (no `::`) do not.
            output: dict[str, Any] = vars(self._config)["workeroutput"]
            output[_KEY] = [list(skip) for skip in self._skips if "::" not in skip[0]]
            return
        self.unlisted = unlisted(sorted(set(self._skips)), allowed_patterns(ALLOWED.read_text()))
        if (
            self.unlisted
            and strict()
            and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.unlisted:
            return
        verdict = "fail this run (CI=true)" if strict() else "would fail with CI=true"
        terminalreporter.section(f"skips not on {ALLOWED.name}: they {verdict}")
        for nodeid, reason in self.unlisted:
            terminalreporter.line(f"{nodeid}: {reason}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Skips(config), "plaudit-skips")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
