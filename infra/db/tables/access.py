"""Who may call, what was administered, whom we forgot, and what was given away: keys, audit, erasures, exports."""

from sqlalchemy import Column, Index, Integer, String, Table, Text

from infra.db.tables.base import JSON_DOCUMENT, instant, metadata, project_column

api_keys = Table(
    "api_keys",
    metadata,
    project_column(),
    Column("key_id", String(36), primary_key=True),
    Column("name", String(63), nullable=False),
    Column("secret_hash", String(64), nullable=False, unique=True),  # SHA-256 of the whole key; the key is never stored
    Column("scopes", String(64), nullable=False),  # comma-separated, sorted
    instant("created_at"),
    instant("expires_at", nullable=True),
    instant("revoked_at", nullable=True),
    instant("last_used_at", nullable=True),  # coarse: `access.last_used_resolution_seconds`
)

audit_entries = Table(
    "audit_entries",
    metadata,
    project_column(),
    Column("sequence", Integer, primary_key=True),  # from 1, without gaps
    Column("actor", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("detail", JSON_DOCUMENT, nullable=False),
    instant("at"),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

erasures = Table(
    "erasures",
    metadata,
    project_column(),
    Column("erasure_id", String(36), primary_key=True),
    instant("erased_at"),
    Column("origin", String(16), nullable=False),  # command: made here; log: learned anew from the topic of erasures
    Column("receipt", JSON_DOCUMENT, nullable=False),
    instant("scrubbed_at", nullable=True),  # when its bytes were seen to be gone from the files; NULL: still to do
)

tombstones = Table(
    "tombstones",
    metadata,
    project_column(),
    Column("kind", String(8), primary_key=True),  # event, response
    # By bytes on both stores, as Python sorts: the bounds are compared there.
    Column("item_id", String(128).with_variant(String(128, collation="C"), "postgresql"), primary_key=True),
    Column("erasure_id", String(36), nullable=False),
    instant("erased_at"),
    Index(None, "project", "erasure_id"),
    sqlite_with_rowid=False,
)

erased_people = Table(
    "erased_people",
    metadata,
    project_column(),
    Column("digest", String(64), primary_key=True),  # SHA-256 of the user key: the key cannot be had from it
    Column("erasure_id", String(36), primary_key=True),
    instant("erased_before"),  # what the person did up to this instant is erased; later records are new
    Index(None, "project", "erased_before"),
)

taints = Table(
    "taints",
    metadata,
    project_column(),
    Column("kind", String(16), primary_key=True),  # reward_model, adapter
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("erasure_id", String(36), primary_key=True),
    Column("reason", Text, nullable=False),
    instant("tainted_at"),
)

exports = Table(
    "exports",
    metadata,
    project_column(),
    Column("export_id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),  # labels, pairs
    Column("format", String(16), nullable=False),
    Column("path", Text, nullable=False),  # where it was written; copies are not known
    Column("manifest", JSON_DOCUMENT, nullable=False),
    instant("as_of"),
    instant("made_at"),
    Index(None, "project", "made_at"),
)
