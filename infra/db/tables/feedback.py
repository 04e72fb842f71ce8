"""Interactions, the ledger of feedback, labels, pairs, consumer offsets and dead letters."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, String, Table, Text, text

from infra.db.tables.base import JSON_DOCUMENT, instant, metadata, project_column

interactions = Table(
    "interactions",
    metadata,
    project_column(),
    Column("response_id", String(128), primary_key=True),
    Column("conversation_id", String(128), nullable=False),
    Column("user_key", String(64)),
    instant("created_at"),
    Column("adapter", String(80), nullable=False),
    Column("experiment", String(64)),
    Column("arm", String(16)),
    Column("propensity", Double),
    Column("phase", Integer),
    Column("source", String(16), nullable=False),
    instant("known_at", nullable=True),  # when it was applied here, or created_at where that is later: what is new
    # Before the payload, so that reading it does not walk the payload's overflow pages.
    Column("lengths", Text),  # JSON: [[choice, characters, tokens], ...]
    Column("payload", LargeBinary, nullable=False),  # the whole Interaction, msgpack
    Column(
        "content_hash", LargeBinary, nullable=False
    ),  # blake2b-8 of the payload: same id with other content is a dead letter
    Index(None, "project", "created_at"),
    Index(None, "project", "experiment", "user_key"),
    # Partial, so that an answer outside an experiment costs nothing.
    Index(
        "ix_interactions_arrivals",
        "project",
        "experiment",
        "known_at",
        sqlite_where=text("experiment IS NOT NULL"),
        postgresql_where=text("experiment IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

# Both keys begin with a time (UUIDv7), so both indexes grow at their ends. A table with row ids costs less to write
# than one clustered by its key, as its second index then holds row ids and not whole keys. No hash of the content: all
# of the content is here, to be compared with what comes under the same id.
feedback_events = Table(
    "feedback_events",
    metadata,
    Column("event_id", String(36), primary_key=True),
    project_column(),
    Column("response_id", String(128), nullable=False),
    Column("choice", Integer, nullable=False),
    Column("signal", String(16), nullable=False),
    Column("operation", String(8), nullable=False),
    Column("value", Double),
    Column("text", Text),
    Column("other_response_id", String(128)),
    Column("other_choice", Integer, nullable=False),
    Column("user_key", String(64)),
    instant("derived_at"),
    instant("received_at"),
    Column("source", String(32), nullable=False),
    Column("device", String(8)),
    Column("solicited", Double),
    Index(None, "response_id"),
)

consumer_offsets = Table(
    "consumer_offsets",
    metadata,
    Column("consumer_group", String(64), primary_key=True),
    Column("topic", String(128), primary_key=True),
    Column("topic_identity", String(64), primary_key=True),  # a recreated topic starts from 0 again
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    instant("updated_at"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("letter_id", String(36), primary_key=True),
    project_column(primary_key=False),
    Column("topic", String(128), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),  # of the event inside its record
    Column("raw", LargeBinary, nullable=False),
    Column("reason", String(64), nullable=False),  # a short stable word, the label of the metric
    Column("detail", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    instant("received_at"),
    Column("status", String(16), nullable=False),  # open, replayed, dropped
    Index(None, "project", "status", "received_at"),
)

labels = Table(
    "labels",
    metadata,
    project_column(),
    Column("response_id", String(128), primary_key=True),
    Column("choice", Integer, primary_key=True),
    Column("version", Integer, primary_key=True),  # 0: provisional, updated in place; from 1: final, append-only
    Column("status", String(16), nullable=False),
    # Of a provisional label only the objectives that have a value: rows that change often are short.
    Column("objective_values", JSON_DOCUMENT, nullable=False),
    Column("weights", JSON_DOCUMENT, nullable=False),
    Column("events_counted", Integer, nullable=False),
    Column("config_hash", String(64), nullable=False),
    instant("made_at"),
    instant("window_closes_at"),
    # Of a provisional label the consumer wrote: what it has heard and from whom, where bits say all of it
    # (`ingest.standing`); else 0 and "". They come and go with the provisional label.
    Column("heard", Integer),
    Column("user_key", String(64)),
    # Partial, so that changing a provisional label touches no index: its window stands, and `made_at` is only indexed
    # once it is final. Queries must name the condition literally, or SQLite does not see that they imply it.
    Index(
        "ix_labels_provisional",
        "project",
        "window_closes_at",
        sqlite_where=text("status = 'provisional'"),
        postgresql_where=text("status = 'provisional'"),
    ),
    Index(
        "ix_labels_final",
        "project",
        "made_at",
        sqlite_where=text("version >= 1"),
        postgresql_where=text("version >= 1"),
    ),
    sqlite_with_rowid=False,
)

pairs = Table(
    "pairs",
    metadata,
    project_column(),
    Column("pair_id", String(64), primary_key=True),
    Column("preferred_response_id", String(128), nullable=False),
    Column("preferred_choice", Integer, nullable=False),
    Column("other_response_id", String(128), nullable=False),
    Column("other_choice", Integer, nullable=False),
    Column("source", String(16), nullable=False),
    Column("user_key", String(64)),
    Column("weight", Double, nullable=False),
    instant("made_at"),
    instant("withdrawn_at", nullable=True),
    Index(None, "project", "made_at"),
)
