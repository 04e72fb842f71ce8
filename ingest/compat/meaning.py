"""What a metric or score of another product says in Plaudit's signals. Pure: settings and a value in, signals out."""

from typing import Any, NamedTuple

import msgspec

from infra.contracts import Operation, Signal
from infra.settings.ways_in import MetricSettings
from ingest.rules import Problem

_TRUTH = {"true": True, "false": False}


class Said(NamedTuple):
    """One signal, set or withdrawn."""

    signal: Signal
    operation: Operation = "set"
    value: float | None = None
    text: str | None = None


def meaning(name: str, metric: MetricSettings, value: Any) -> list[Said] | Problem:
    """The signals that `value` under the metric `name` stands for, or what is wrong with it."""
    if metric.signal in ("comment", "edit"):
        text = text_of(value)
        return Problem("wrong_type", f"{name} needs a text", "value") if not text else [Said(metric.signal, text=text)]
    if metric.signal == "report" and isinstance(value, str) and _category(metric, value) is None:
        return [Said("report", text=value)]
    number = _number(name, metric, value)
    if isinstance(number, Problem):
        return number
    if metric.signal == "dwell":
        return [Said("dwell", value=number)]
    share = (number - metric.low) / (metric.high - metric.low)
    if not 0.0 <= share <= 1.0:
        low, high = sorted((metric.low, metric.high))
        return Problem(
            "invalid_value",
            f"value is {number:g}; {name} lies in [{low:g}, {high:g}]: "
            f"set ingest.compat.metrics.{name}.low and .high to its scale",
            "value",
        )
    if metric.signal == "rating":
        return [Said("rating", value=share)]
    if metric.signal == "vote":
        return _vote(share)
    return [Said(metric.signal, "set" if share > 0.5 else "withdraw")]


def text_of(value: Any) -> str:
    """A text, or the texts of a list of content blocks, or any other JSON written out; empty for nothing."""
    if not value or isinstance(value, bool | int | float):
        return ""
    if isinstance(value, str):
        return value
    blocks = [block.get("text") if isinstance(block, dict) else None for block in value]
    if isinstance(value, list) and all(isinstance(block, str) for block in blocks):
        return "".join(str(block) for block in blocks)
    return msgspec.json.encode(value).decode()


def _vote(share: float) -> list[Said]:
    if share == 0.5:
        return [Said("like", "withdraw"), Said("dislike", "withdraw")]
    return [Said("like" if share > 0.5 else "dislike")]


def _number(name: str, metric: MetricSettings, value: Any) -> float | Problem:
    if isinstance(value, str):
        known = _category(metric, value)
        if known is None:
            names = ", ".join([*metric.categories, "true", "false"])
            return Problem(
                "unknown_category",
                f"value is {value[:60]!r}; {name} knows {names}: add it to ingest.compat.metrics.{name}.categories",
                "value",
            )
        value = known
    if isinstance(value, bool):
        return max(metric.low, metric.high) if value else min(metric.low, metric.high)
    if isinstance(value, int | float):
        return float(value)
    return Problem("wrong_type", f"{name} needs true, false, a number or a category", "value")


def _category(metric: MetricSettings, value: str) -> float | bool | None:
    folded = value.casefold()
    found = {name.casefold(): number for name, number in metric.categories.items()}.get(folded)
    return found if found is not None else _TRUTH.get(folded)
