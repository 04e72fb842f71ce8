"""Metrics of the gateway; part of the catalogue."""

from prometheus_client import Counter, Gauge, Histogram

from infra.metrics.once_set import OnceSet
from infra.metrics.registry import REGISTRY

LONG_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Buckets for generation."""

SERVING_REQUEST_SECONDS = Histogram(
    "plaudit_serving_request_duration_seconds",
    "Time from a chat request to the end of its answer, the durable log included.",
    ["stream", "outcome"],
    buckets=LONG_SECONDS,
    registry=REGISTRY,
)
SERVING_FIRST_TOKEN_SECONDS = Histogram(
    "plaudit_serving_first_token_seconds",
    "Time from a chat request to its first token.",
    buckets=LONG_SECONDS,
    registry=REGISTRY,
)
SERVING_TOKENS = Counter(
    "plaudit_serving_tokens_total", "Tokens, by kind: prompt, completion.", ["kind", "adapter"], registry=REGISTRY
)
SERVING_REFUSED = Counter(
    "plaudit_serving_requests_refused_total",
    "Chat requests answered with an error, by code.",
    ["code"],
    registry=REGISTRY,
)
SERVING_QUEUE = OnceSet("plaudit_serving_queue_rows", "Answers waiting for the engine.", registry=REGISTRY)
SERVING_BATCH_ROWS = Histogram(
    "plaudit_serving_batch_rows",
    "Answers computed together.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
    registry=REGISTRY,
)
SERVING_KV_BYTES = OnceSet(
    "plaudit_serving_kv_bytes",
    "Keys and values that the local engine holds, for rows that run and for turns to come.",
    registry=REGISTRY,
)
SERVING_PROMPT_TOKENS = Counter(
    "plaudit_serving_prompt_tokens_total",
    "Tokens of prompts at the local engine, by how: computed, reused.",
    ["how"],
    registry=REGISTRY,
)
SERVING_ADAPTER_PROVEN = Gauge(
    "plaudit_serving_adapter_proven",
    "1 when the adapter is loaded and proven on this replica, 0 when it was refused; absent when not wanted.",
    ["adapter"],
    registry=REGISTRY,
)
SERVING_PROOFS = Counter(
    "plaudit_serving_proofs_total",
    "Proofs of adapters, by outcome: proven, indistinguishable, refused.",
    ["outcome"],
    registry=REGISTRY,
)
SERVING_STATE_AGE = OnceSet(
    "plaudit_serving_state_age_seconds",
    "Age of what the gateway knows of champion and experiment, by the store.",
    registry=REGISTRY,
)
SERVING_ROUTES = Counter(
    "plaudit_serving_routes_total",
    "Chat requests by why they got their adapter: counted, uncounted, pinned, forced, ineligible and so on.",
    ["why"],
    registry=REGISTRY,
)
SERVING_BREAKER_TRIPS = Counter(
    "plaudit_serving_breaker_trips_total",
    "Arms that this gateway gave up by itself, by signal: errors, empty, slow.",
    ["signal"],
    registry=REGISTRY,
)
SERVING_DUELS = Counter(
    "plaudit_serving_duels_total",
    "Requests answered by two answers for a vote, by what they were: challenger, base, self; and those beside whose "
    "answer a pair of known ones was shown: honeypot.",
    ["kind"],
    registry=REGISTRY,
)
SERVING_IN_PROGRESS = OnceSet(
    "plaudit_serving_in_flight_requests", "Requests being answered, streams included.", registry=REGISTRY
)
SERVING_FILTERED = Counter(
    "plaudit_serving_answers_filtered_total", "Answers cut short by an output filter.", registry=REGISTRY
)
SERVING_REDACTED = Counter(
    "plaudit_serving_interactions_redacted_total",
    "Interactions from which personal data was taken out before they were stored.",
    registry=REGISTRY,
)
SERVING_UNLOGGED = Counter(
    "plaudit_serving_unlogged_total",
    "Answers that went out although the log took nothing, as serving.serve_unlogged allows.",
    registry=REGISTRY,
)
SERVING_INTERACTIONS_LOST = Counter(
    "plaudit_serving_interactions_unlogged_total",
    "Answers computed that the log did not take: their callers got an error.",
    registry=REGISTRY,
)
SERVING_CHAMPION_PROVEN = OnceSet(
    "plaudit_serving_champion_proven",
    "1 when this replica has proven the champion of the store and routes to it, 0 while it answers with another.",
    registry=REGISTRY,
)
SERVING_PROOF_REPLICAS = Gauge(
    "plaudit_serving_proof_replicas",
    "Replicas by what they say of an adapter that is wanted now: proven, indistinguishable, refused, unloaded.",
    ["adapter", "status"],
    registry=REGISTRY,
)
SERVING_TRIPPED_ARMS = OnceSet(
    "plaudit_serving_tripped_arms_active",
    "Arms of running experiments that some gateway's breaker has given up.",
    registry=REGISTRY,
)
