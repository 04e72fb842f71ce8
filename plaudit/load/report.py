"""What the load has shown: as a document for programs and as a table for people."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from plaudit.load.answers import Sample
from plaudit.load.plan import Plan

Document = dict[str, Any]
QUANTILES = (50, 90, 95, 99)


def report(plan: Plan, samples: Sequence[Sample], seconds: float) -> Document:
    """Times in seconds, over good answers only; errors stand beside them, by status and code (status 0: no response).

    Latency and time to first token count from the intended start. `start_lag_seconds`: how late this client itself
    began; where it is not small against the latencies, the client was the limit.
    """
    good = [one for one in samples if one.code is None]
    tokens = sum(one.completion_tokens for one in good)
    errors = len(samples) - len(good)
    mode = {"loop": "closed", "concurrency": plan.concurrency}
    if plan.rate is not None:
        mode = {"loop": "open", "rate_per_second": plan.rate, "arrivals": "steady" if plan.steady else "poisson"}
    return {
        "url": plan.url,
        "model": plan.model,
        "stream": plan.stream,
        **mode,
        "seconds": seconds,
        "requests": len(samples),
        "errors": errors,
        "error_share": errors / len(samples) if samples else 0.0,
        "errors_by_code": _counted(f"{one.status} {one.code}" for one in samples if one.code is not None),
        "by_status": _counted(str(one.status) for one in samples),
        "adapters": _counted(one.adapter for one in good if one.adapter),
        "requests_per_second": len(good) / seconds if seconds else 0.0,
        "tokens_per_second": tokens / seconds if seconds else 0.0,
        "prompt_tokens": sum(one.prompt_tokens for one in good),
        "completion_tokens": tokens,
        "latency_seconds": summary(one.finished - one.intended for one in good),
        "first_token_seconds": summary(one.first_token - one.intended for one in good if one.first_token is not None),
        "inter_token_seconds": summary(gap for one in good for gap in one.gaps),
        "start_lag_seconds": summary(one.started - one.intended for one in samples),
    }


def summary(values: Iterable[float]) -> Document | None:
    """p50 to p99 (linear between neighbours), mean and largest; None without values."""
    found = np.fromiter(values, dtype=float)
    if not found.size:
        return None
    marks = np.percentile(found, QUANTILES)
    quantiles = {f"p{mark}": float(value) for mark, value in zip(QUANTILES, marks, strict=True)}
    return {**quantiles, "mean": float(found.mean()), "max": float(found.max()), "count": int(found.size)}


def tables(document: Document) -> list[Table]:
    """Times, and what was counted."""
    times = Table("milliseconds", box=None, header_style="bold", title_justify="left")
    for name in (*(f"p{mark}" for mark in QUANTILES), "mean", "max"):
        times.add_column(name, justify="right")
    for key, title in _TIMES.items():
        found = document[key]
        if found is not None:
            times.add_row(title, *(f"{found[name] * 1000:.1f}" for name in _columns(found)))
    counted = Table("counted", "", box=None, header_style="bold")
    counted.add_row("requests", str(document["requests"]))
    counted.add_row("good answers per second", f"{document['requests_per_second']:.1f}")
    counted.add_row("tokens per second", f"{document['tokens_per_second']:.1f}")
    counted.add_row("errors", f"{document['errors']} ({document['error_share']:.2%})")
    for code, count in document["errors_by_code"].items():
        counted.add_row(f"  {code}", str(count))
    for adapter, count in document["adapters"].items():
        counted.add_row(f"answered by {adapter}", str(count))
    return [times, counted]


_TIMES = {
    "latency_seconds": "latency",
    "first_token_seconds": "time to first token",
    "inter_token_seconds": "between tokens",
    "start_lag_seconds": "late start of this client",
}


def _columns(found: Document) -> list[str]:
    return [name for name in found if name != "count"]


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())
