"""Recording and alerting rules as Python values, their time scale, and the YAML that Prometheus reads.

Expressions are PromQL with two additions: `seconds(900)` is a number of seconds, and both it and every range `[5m]`
are times of the deployment, which a `Scale` makes shorter where everything else is shorter too (demos, tests).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning"]
"""critical: people are served worse, or the loop decides wrongly, now; warning: somebody should look within a day."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RANGE = re.compile(r"\[(\d+)([smhd])\]")
_SECONDS = re.compile(r"seconds\((\d+)\)")


@dataclass(frozen=True)
class Scale:
    """`factor` 1: real time; 1/60: minutes become seconds. No range is made shorter than `shortest_range_seconds`,
    which should be four scrape intervals: `rate` needs two samples."""

    factor: float = 1.0
    shortest_range_seconds: float = 0.0

    def expression(self, text: str) -> str:
        """PromQL in this scale."""
        ranged = _RANGE.sub(lambda found: f"[{self._range(int(found[1]) * _UNITS[found[2]])}]", text)
        return _SECONDS.sub(lambda found: f"{int(found[1]) * self.factor:g}", ranged)

    def duration(self, seconds: float) -> str:
        """How long an alert must hold before it fires."""
        return duration_text(seconds * self.factor)

    def _range(self, seconds: float) -> str:
        return duration_text(max(seconds * self.factor, self.shortest_range_seconds))


REAL_TIME = Scale()


def duration_text(seconds: float) -> str:
    """A Prometheus duration: in the largest unit that gives a whole number, else milliseconds."""
    for unit, size in reversed(_UNITS.items()):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{round(seconds * 1000)}ms"


@dataclass(frozen=True)
class Recording:
    """`record` is named `level:metric:operations`."""

    record: str
    expr: str

    def lines(self, scale: Scale, _runbooks: str) -> Iterator[str]:
        yield f"- record: {self.record}"
        yield f"  expr: {_quoted(scale.expression(self.expr))}"


@dataclass(frozen=True)
class Alert:
    """Fires once `expr` has given a result for `for_seconds`; `summary` may use `{{ $labels.x }}` and `{{ $value }}`."""

    name: str
    expr: str
    for_seconds: float
    severity: Severity
    summary: str

    def lines(self, scale: Scale, runbooks: str) -> Iterator[str]:
        yield f"- alert: {self.name}"
        yield f"  expr: {_quoted(scale.expression(self.expr))}"
        if self.for_seconds:
            yield f"  for: {scale.duration(self.for_seconds)}"
        yield "  labels:"
        yield f"    severity: {self.severity}"
        yield "  annotations:"
        yield f"    summary: {_quoted(self.summary)}"
        yield f"    runbook_url: {_quoted(f'{runbooks}/{self.name}.md')}"


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated one after the other."""

    name: str
    rules: Sequence[Recording | Alert]


def rules_yaml(groups: Sequence[Group], runbooks: str, scale: Scale = REAL_TIME, head: str = "") -> str:
    """The text of a rules file."""
    lines = [f"# {line}" for line in head.splitlines()] + ["groups:"]
    for group in groups:
        lines += [f"- name: {group.name}", "  rules:"]
        lines += [f"  {line}" for rule in group.rules for line in rule.lines(scale, runbooks)]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A single-quoted YAML scalar: only the quote itself needs care."""
    return "'" + text.replace("'", "''") + "'"
