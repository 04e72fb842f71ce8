"""How many bytes an answer and its feedback take, in each store and on the log: what disks are sized with.

    python -m tests.benchmarks.bench_sizes --write    # 3,000 answers, 8,400 events: about a minute

Answers have 150 prompt and 250 answer tokens (800 and 1,000 characters) with ids and both log-probabilities; feedback
is the mix of `ingest_traffic`. Sizes are those of the files (SQLite, after VACUUM) and of tables with their indexes
(PostgreSQL); nothing here depends on how fast the machine is.
"""

import argparse
import asyncio
import datetime
import json
import random
import tempfile
from pathlib import Path

from sqlalchemy import text

from infra.contracts import Answer, Interaction, Message, SystemClock
from infra.db import Database, migrate
from infra.event_log import Record, open_event_log
from infra.event_log.embedded.log import SqliteEventLog
from infra.runtime import Context
from infra.settings import Settings
from ingest.codec import INTERACTION_CODEC
from ingest.consumer import FeedbackConsumer
from ingest.service import IngestService
from ingest.topics import feedback_topic, interactions_topic
from tests.benchmarks.ingest_traffic import START, bodies, traffic
from tests.fixtures.postgres import fresh_database, running_postgres

PROMPT_TOKENS, ANSWER_TOKENS = 150, 250
DOCS = Path(__file__).parents[2] / "docs" / "benchmarks"
WORDS = ("the", "tide", "rises", "because", "water", "follows", "moon", "around", "turning", "planet")
SQLITE_SIZES = "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY 1"
POSTGRES_SIZES = "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r'"


def interaction(draw: random.Random, response_id: str) -> Interaction:
    """An answer of the gateway with everything that learning needs."""
    said = " ".join(draw.choices(WORDS, k=200))[:1000]
    logprobs = tuple(-draw.random() * 3 for _ in range(ANSWER_TOKENS))
    answer = Answer(
        0, said, "stop",
        token_ids=tuple(draw.randrange(49_152) for _ in range(ANSWER_TOKENS)),
        logprobs_raw=logprobs, logprobs_sampled=logprobs,
    )  # fmt: skip
    return Interaction(
        project="default", response_id=response_id, conversation_id=response_id[9:],
        created_at=START, messages=(Message("user", " ".join(draw.choices(WORDS, k=160))[:800]),), answers=(answer,),
        prompt_token_ids=tuple(draw.randrange(49_152) for _ in range(PROMPT_TOKENS)),
        user_key=f"{draw.getrandbits(128):032x}", adapter="loop@3", experiment="e7", arm="challenger", propensity=0.5,
        phase=1,
    )  # fmt: skip


def fill(context: Context, answers: int, events: int) -> tuple[int, int]:
    """Send everything onto the log; (answers, events) sent."""
    draw = random.Random(3)
    ids, made = traffic(events)
    topic = interactions_topic(context.settings)
    context.event_log.ensure_topic(topic)
    for response_id in ids[:answers]:
        value = INTERACTION_CODEC.encode([interaction(draw, response_id)])
        context.event_log.append(topic, [Record(response_id.encode(), value)]).result(30)

    async def send() -> None:
        service = IngestService(context)
        for body in bodies(made, 100):
            await service.accept_feedback(body)

    asyncio.run(send())
    return min(answers, len(ids)), len(made)


def apply(context: Context) -> None:
    """Read the log into the store."""
    consumer = FeedbackConsumer(context)
    consumer.drain(600.0)
    consumer.close()


def labelled(context: Context) -> list[str]:
    """The labels there are."""
    with context.database.reading() as connection:
        return list(connection.execute(text("SELECT response_id FROM labels")).scalars())


def table_bytes(database: Database) -> dict[str, int]:
    """Bytes of each table with its indexes and what belongs to it."""
    statement = SQLITE_SIZES if database.dialect == "sqlite" else POSTGRES_SIZES
    with database.reading() as connection:
        return {str(name): int(size) for name, size in connection.execute(text(statement)).all()}


def answer_bytes(interaction_bytes: float, label_bytes: float, event_bytes: float) -> dict[str, float]:
    """What one answer takes, by part; `answer` is all of it with 2.8 events."""
    whole = interaction_bytes + label_bytes + 2.8 * event_bytes
    parts = {"interaction": interaction_bytes, "label": label_bytes, "event": event_bytes, "answer": whole}
    return {part: round(size, 1) for part, size in parts.items()}


def row(name: str, sizes: dict[str, float]) -> str:
    """A line of the table."""
    return f"| {name} | " + " | ".join(f"{size:,.0f}" for size in sizes.values()) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=3000)
    parser.add_argument("--events", type=int, default=8400)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks/sizes.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_postgres() as server, fresh_database(server) as url:
        settings, clock = Settings(data_dir=Path(folder)), SystemClock()
        migrate(settings.store_url)
        migrate(url)
        event_log = open_event_log(settings, clock)
        stores = {"SQLite": Database.open(settings.store_url), "PostgreSQL": Database.open(url)}
        contexts = {name: Context(settings, clock, store, event_log) for name, store in stores.items()}
        answers, events = fill(contexts["SQLite"], asked.answers, asked.events)
        assert isinstance(event_log, SqliteEventLog)
        on_log = [event_log.stored_bytes(topic(settings)) for topic in (interactions_topic, feedback_topic)]
        print(f"{answers} answers of {PROMPT_TOKENS} + {ANSWER_TOKENS} tokens, {events} events; bytes\n")
        print("| where | interaction | label | event | answer with label and 2.8 events |\n|---|---:|---:|---:|---:|")
        found: dict[str, dict[str, float]] = {}
        for name, context in contexts.items():
            apply(context)
            sizes = table_bytes(context.database)
            per_answer = (sizes["interactions"] / answers, sizes["labels"] / len(labelled(context)))
            found[name] = answer_bytes(*per_answer, sizes["feedback_events"] / events)
        found["log"] = answer_bytes(on_log[0] / answers, 0.0, on_log[1] / events)
        for name, one in found.items():
            print(row(name, one))
        if asked.write:
            made = {"date": datetime.date.today().isoformat(), "answers": answers, "events": events, **found}
            (DOCS / "sizes.json").write_text(json.dumps(made, indent=1) + "\n")
        event_log.close()
        for store in stores.values():
            store.close()


if __name__ == "__main__":
    main()
