"""How large each part of a deployment must be for so many people: arithmetic over what was measured.

    python -m tests.benchmarks.sizing --page                      # writes the table of docs/deploy.md anew
    python -m tests.benchmarks.sizing --people 250000 --chats 4   # for your own numbers

Measured: CPU of ingest an event (docs/benchmarks/ingest.json), bytes an answer (docs/benchmarks/sizes.json). Assumed,
and to be replaced by your own: what stands in `Assumed`. Everything else follows.
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- written by python -m tests.benchmarks.sizing --page -->", "<!-- end of what sizing writes -->"
DAY = 86_400.0
STEPS = (10_000, 1_000_000, 100_000_000)


@dataclass(frozen=True)
class Assumed:
    """`people` are active on a day; `peak`: the busiest minute over the mean; `tokens_a_second`: of one engine replica,
    all answers together, which has to be measured on your own model and GPU."""

    people: float
    chats: float = 10.0
    events: float = 2.8
    peak: float = 3.0
    answer_tokens: float = 250.0
    tokens_a_second: float = 2_500.0
    retention_days: float = 30.0
    log_days: float = 7.0
    headroom: float = 2.0
    single_posts: bool = True


@dataclass(frozen=True)
class Measured:
    """Microseconds of CPU an event, events a second of one consumer, bytes an answer with its label and feedback."""

    api_batched: float
    api_single: float
    consumer: float
    consumer_rate: float
    store_bytes: float
    log_bytes: float

    @classmethod
    def read(cls, folder: Path = DOCS / "benchmarks") -> "Measured":
        """From the files that the benchmarks wrote."""
        ingest: dict[str, Any] = json.loads((folder / "ingest.json").read_text())["sizes"]["0"]
        sizes: dict[str, Any] = json.loads((folder / "sizes.json").read_text())
        postgres, single = ingest["HTTP, embedded log, PostgreSQL"], ingest["single events, embedded log, SQLite"]
        return cls(
            api_batched=postgres["api_microseconds"]["median"],
            api_single=single["api_microseconds"]["median"],
            consumer=postgres["consumer_microseconds"]["median"],
            consumer_rate=postgres["events_per_second"]["median"],
            store_bytes=sizes["PostgreSQL"]["answer"],
            log_bytes=sizes["log"]["answer"],
        )


def sized(assumed: Assumed, measured: Measured) -> dict[str, str]:
    """What is needed, by part, in words."""
    answers = assumed.people * assumed.chats / DAY * assumed.peak
    events = answers * assumed.events
    api = measured.api_single if assumed.single_posts else measured.api_batched
    consumers = math.ceil(events * assumed.headroom / measured.consumer_rate)
    partitions = 2 ** max(4, math.ceil(math.log2(4 * consumers)))
    a_day = assumed.people * assumed.chats
    kept = a_day * assumed.log_days * measured.log_bytes
    return {
        "answers a second, at the peak": f"{answers:,.0f}",
        "feedback events a second, at the peak": f"{events:,.0f}",
        "feedback API, cores": f"{_up(events * api / 1e6 * assumed.headroom)}",
        "consumers (a core each)": f"{max(2, consumers)}",
        "partitions of each topic": f"{partitions}",
        "Kafka, a broker's disk (three replicas on three brokers)": _bytes(kept),
        "PostgreSQL, rows and indexes": _bytes(a_day * assumed.retention_days * measured.store_bytes),
        "PostgreSQL, written a second at the peak": _bytes(answers * measured.store_bytes),
        "engine replicas": f"{_up(answers * assumed.answer_tokens / assumed.tokens_a_second * 1.3):,}",
    }


def _up(number: float) -> int:
    return max(1, math.ceil(number))


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} PB"


def table(steps: list[Assumed], measured: Measured) -> str:
    """Markdown: a column for each size."""
    columns = [sized(one, measured) for one in steps]
    head = "| people active a day | " + " | ".join(f"{one.people:,.0f}" for one in steps) + " |"
    lines = [head, "|---|" + "---:|" * len(steps)]
    lines += [f"| {part} | " + " | ".join(column[part] for column in columns) + " |" for part in columns[0]]
    return "\n".join(lines)


def page(text: str, made: str) -> str:
    """The page with the table put in. Raises ValueError where its marks are missing."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"docs/deploy.md has lost its marks: {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--people", type=float, default=0.0)
    parser.add_argument("--chats", type=float, default=Assumed.chats)
    parser.add_argument("--tokens-a-second", type=float, default=Assumed.tokens_a_second)
    parser.add_argument("--retention-days", type=float, default=Assumed.retention_days)
    asked = parser.parse_args()
    own = {"chats": asked.chats, "tokens_a_second": asked.tokens_a_second, "retention_days": asked.retention_days}
    steps = [Assumed(people, **own) for people in ([asked.people] if asked.people else STEPS)]
    made = table(steps, Measured.read())
    if asked.page:
        path = DOCS / "deploy.md"
        path.write_text(page(path.read_text(), made))
    else:
        print(made)


if __name__ == "__main__":
    main()
