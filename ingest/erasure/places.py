"""Where a person's rows are: by columns, so that a table added later is covered when it names them as the others do.

A table holds a person's rows when it has a column `user_key`, and rows about an answer when it has a column that names
a response. Every other table stands in `IMPERSONAL` with the reason; a test refuses a table that is in neither.
"""

from collections.abc import Iterator

from sqlalchemy import Column, Table

from infra.db.tables import metadata

PERSON_COLUMN = "user_key"
RESPONSE_COLUMNS = (
    "response_id",
    "other_response_id",
    "preferred_response_id",
    "better_response_id",
    "worse_response_id",
)

INSTANTS = {
    "interactions": "created_at",
    "feedback_events": "received_at",
    "labels": "made_at",
    "pairs": "made_at",
    "exposures": "first_at",
    "person_values": "frozen_at",
}
"""When a row of the person came to be: an erasure learned again from the log spares what came after it. A table that is
missing here loses every row of the person, which is right for estimates: they are made anew."""

IMPERSONAL = {
    "adapter_proofs": "distances of weights",
    "adapters": "weights and their lineage; marked in `taints` when they learned from the person",
    "api_keys": "callers' programs, not the people they serve",
    "audit_entries": "who administered what; names people by erasure id only",
    "breaker_trips": "which gateway gave up on which arm",
    "config_snapshots": "settings",
    "consumer_offsets": "places on the log",
    "dead_letters": "raw bytes: searched for the person, not selected by a column",
    "decisions": "sums over many people",
    "dwell_models": "coefficients and quantiles over many people",
    "erased_people": "one-way digests: what keeps the person erased",
    "erasures": "receipts, which name nobody",
    "experiment_looks": "sums over many people, as looks saw them",
    "experiment_states": "sums over many people, counted before the erasure; no key of a person",
    "experiments": "arms and dates",
    "exports": "manifests; their files are searched",
    "job_cursors": "which fire of a job was settled last",
    "job_runs": "what jobs did",
    "label_bases": "ids of answers and events, and numbers: what names the rows that are gone from a rebuilt set",
    "leases": "which process does a job",
    "offline_online_points": "rates over many people and names of adapters",
    "pauses": "what an operator has stopped, and why",
    "reward_models": "weights; marked in `taints` when they learned from the person",
    "reward_specifications": "how labels are made",
    "selection_models": "coefficients over many people",
    "sentinels": "champions, dates and alarms",
    "serving_state": "the champion",
    "signal_validity": "sums over many people",
    "taints": "what learned from an erased person",
    "token_uses": "digests of tokens and browsers in use; a row goes when its token expires",
    "tombstones": "ids of erased events and answers: what keeps them erased",
}


def personal_tables() -> Iterator[tuple[Table, Column[str]]]:
    """Every table with rows of people, and its column of user keys."""
    for table in metadata.sorted_tables:
        if PERSON_COLUMN in table.columns:
            yield table, table.columns[PERSON_COLUMN]


def answer_tables() -> Iterator[tuple[Table, list[Column[str]]]]:
    """Every table with rows about answers (tombstones aside), and its columns that name a response."""
    for table in metadata.sorted_tables:
        named = [table.columns[name] for name in RESPONSE_COLUMNS if name in table.columns]
        if named:
            yield table, named
