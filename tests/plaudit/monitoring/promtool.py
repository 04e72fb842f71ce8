"""promtool, Prometheus' own checker of rules; Debian's package `prometheus` has it."""

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest


def promtool(folder: Path, *arguments: str) -> str:
    """What it says, from `folder`; fails the test when it finds something wrong. Skips where it is not installed."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed: `scripts/install-test-tools` as root on Debian or Ubuntu")
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rule_tests(rules: str, groups: list[str], every_minutes: int = 1) -> str:
    """A file for `promtool test rules`; rules are evaluated every so many minutes."""
    return "\n".join([f"rule_files: [{rules}]", f"evaluation_interval: {every_minutes}m", "tests:", *groups]) + "\n"


@dataclass
class History:
    """Series over time, and what is asked of them: (alert, minute, whether it fires)."""

    series: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, int, bool]] = field(default_factory=list)

    def takes(self, series: Mapping[str, str]) -> bool:
        """Whether these have room beside those it has: none of them is there with other values."""
        return all(self.series.get(key, values) == values for key, values in series.items())


def histories(asked: Iterable[tuple[Mapping[str, str], str, int, bool]]) -> list[History]:
    """As few histories as the questions (series, alert, minute, fires) fit into: each costs an evaluation of all rules
    at every instant."""
    found: list[History] = []
    for series, *question in asked:
        place = next((one for one in found if one.takes(series) and one.asked[0][2] == question[2]), None)
        if place is None:
            found.append(place := History())
        place.series |= series
        place.asked.append(tuple(question))  # type: ignore[arg-type]
    return found


def rule_test(history: History) -> str:
    """One history as promtool reads it."""
    lines = ["- interval: 1m", "  input_series:"]
    for key, values in history.series.items():
        lines += [f"  - series: '{key}'", f"    values: '{values}'"]
    lines.append("  promql_expr_test:")
    for alert, minute, fires in history.asked:
        expression = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}} > 0) or vector(0)'
        lines += [f"  - expr: '{expression}'", f"    eval_time: {minute}m"]
        lines += ["    exp_samples:", f"    - {{labels: '{{}}', value: {int(fires)}}}"]
    return "\n".join(lines)
