"""Every metric Plaudit exports, a block for each room; those that are read from the store, and those of
experiments, rights and trust, stand in files of their own beside this one. Operations, not product analytics.

Names: prefix `plaudit_`, base units (seconds, bytes, ratio in 0..1, nats), `_total` on counters alone, help on every
one, no user ids or prompts in labels. A test holds them to it.
"""

from prometheus_client import Counter, Gauge, Histogram

from infra.metrics.buckets import JOB_SECONDS as JOB_SECONDS
from infra.metrics.buckets import SHORT_SECONDS as SHORT_SECONDS
from infra.metrics.engines import REPLICA_ADAPTER_PROVEN as REPLICA_ADAPTER_PROVEN
from infra.metrics.engines import REPLICA_LOST as REPLICA_LOST
from infra.metrics.engines import REPLICA_PROOF_MARGIN as REPLICA_PROOF_MARGIN
from infra.metrics.engines import REPLICA_REQUESTS as REPLICA_REQUESTS
from infra.metrics.engines import REPLICA_UP as REPLICA_UP
from infra.metrics.event_log import EVENT_LOG_APPEND_FAILURES as EVENT_LOG_APPEND_FAILURES
from infra.metrics.event_log import EVENT_LOG_APPEND_SECONDS as EVENT_LOG_APPEND_SECONDS
from infra.metrics.event_log import EVENT_LOG_APPENDED_BYTES as EVENT_LOG_APPENDED_BYTES
from infra.metrics.event_log import EVENT_LOG_APPENDED_RECORDS as EVENT_LOG_APPENDED_RECORDS
from infra.metrics.event_log import EVENT_LOG_CONSUMER_LAG as EVENT_LOG_CONSUMER_LAG
from infra.metrics.event_log import EVENT_LOG_HEALTHY as EVENT_LOG_HEALTHY
from infra.metrics.event_log import EVENT_LOG_REFUSED_RECORDS as EVENT_LOG_REFUSED_RECORDS
from infra.metrics.event_log import EVENT_LOG_SPOOL_BYTES as EVENT_LOG_SPOOL_BYTES
from infra.metrics.event_log import EVENT_LOG_SPOOL_PROCESS_LOST as EVENT_LOG_SPOOL_PROCESS_LOST
from infra.metrics.event_log import EVENT_LOG_SPOOL_PROCESS_UP as EVENT_LOG_SPOOL_PROCESS_UP
from infra.metrics.event_log import EVENT_LOG_SPOOLED_RECORDS as EVENT_LOG_SPOOLED_RECORDS
from infra.metrics.experiments import AB_DECIDED as AB_DECIDED
from infra.metrics.experiments import AB_DECISIONS as AB_DECISIONS
from infra.metrics.experiments import AB_E_VALUE as AB_E_VALUE
from infra.metrics.experiments import AB_HELD_SINCE as AB_HELD_SINCE
from infra.metrics.experiments import AB_HOLD as AB_HOLD
from infra.metrics.experiments import AB_LEDGER as AB_LEDGER
from infra.metrics.experiments import AB_LOOKS as AB_LOOKS
from infra.metrics.experiments import AB_PEOPLE as AB_PEOPLE
from infra.metrics.experiments import AB_RUNNING as AB_RUNNING
from infra.metrics.experiments import AB_SAMPLE_RATIO as AB_SAMPLE_RATIO
from infra.metrics.experiments import AB_SAMPLE_RATIO_BOUNDARY as AB_SAMPLE_RATIO_BOUNDARY
from infra.metrics.experiments import AB_SELF_TEST as AB_SELF_TEST
from infra.metrics.experiments import AB_SENTINEL_ALARM as AB_SENTINEL_ALARM
from infra.metrics.experiments import AB_STARTED as AB_STARTED
from infra.metrics.experiments import AB_TRAFFIC_SHARE as AB_TRAFFIC_SHARE
from infra.metrics.experiments import AB_WATERMARK_AGE as AB_WATERMARK_AGE
from infra.metrics.jobs import JOB_DEADLINE as JOB_DEADLINE
from infra.metrics.jobs import JOB_DURATION as JOB_DURATION
from infra.metrics.jobs import JOB_FAILED_RUNS as JOB_FAILED_RUNS
from infra.metrics.jobs import JOB_INTERVAL as JOB_INTERVAL
from infra.metrics.jobs import JOB_LAST_DURATION as JOB_LAST_DURATION
from infra.metrics.jobs import JOB_LAST_OUTCOME as JOB_LAST_OUTCOME
from infra.metrics.jobs import JOB_LAST_SUCCESS as JOB_LAST_SUCCESS
from infra.metrics.jobs import JOB_PAUSED as JOB_PAUSED
from infra.metrics.jobs import JOB_PROGRESS as JOB_PROGRESS
from infra.metrics.jobs import JOB_RUNNING as JOB_RUNNING
from infra.metrics.jobs import JOB_RUNNING_SINCE as JOB_RUNNING_SINCE
from infra.metrics.jobs import JOB_RUNS as JOB_RUNS
from infra.metrics.jobs import LEASE_LOST as LEASE_LOST
from infra.metrics.jobs import SCHEDULER_HEARTBEAT as SCHEDULER_HEARTBEAT
from infra.metrics.learning import CHAMPION_KL as CHAMPION_KL
from infra.metrics.learning import GATE_REFUSALS as GATE_REFUSALS
from infra.metrics.learning import INGEST_APPLIED_THROUGH as INGEST_APPLIED_THROUGH
from infra.metrics.learning import INGEST_APPLY_DELAY as INGEST_APPLY_DELAY
from infra.metrics.learning import INGEST_OPEN_LETTERS as INGEST_OPEN_LETTERS
from infra.metrics.learning import INGEST_UNATTRIBUTED as INGEST_UNATTRIBUTED
from infra.metrics.learning import LABEL_LAG as LABEL_LAG
from infra.metrics.learning import LABEL_NEWEST as LABEL_NEWEST
from infra.metrics.learning import LABELS_OVERDUE as LABELS_OVERDUE
from infra.metrics.learning import POLICY_ADAPTERS as POLICY_ADAPTERS
from infra.metrics.learning import POLICY_KL as POLICY_KL
from infra.metrics.learning import POLICY_MADE as POLICY_MADE
from infra.metrics.learning import POLICY_REWARD as POLICY_REWARD
from infra.metrics.learning import REWARD_MODEL_CALIBRATION as REWARD_MODEL_CALIBRATION
from infra.metrics.learning import REWARD_MODEL_CHAMPION as REWARD_MODEL_CHAMPION
from infra.metrics.learning import REWARD_MODEL_DISAGREEMENT as REWARD_MODEL_DISAGREEMENT
from infra.metrics.learning import REWARD_MODEL_DRIFT as REWARD_MODEL_DRIFT
from infra.metrics.learning import REWARD_MODEL_DRIFTED as REWARD_MODEL_DRIFTED
from infra.metrics.learning import REWARD_MODEL_MADE as REWARD_MODEL_MADE
from infra.metrics.objectives import EVENT_LOG_SPOOL_LIMIT as EVENT_LOG_SPOOL_LIMIT
from infra.metrics.objectives import KL_BUDGET as KL_BUDGET
from infra.metrics.objectives import SLO_SECONDS as SLO_SECONDS
from infra.metrics.objectives import SLO_TARGET as SLO_TARGET
from infra.metrics.once_set import OnceSet
from infra.metrics.registry import REGISTRY as REGISTRY
from infra.metrics.rights import ACCESS_LOOKUPS as ACCESS_LOOKUPS
from infra.metrics.rights import ACCESS_REFUSED as ACCESS_REFUSED
from infra.metrics.rights import ERASED_REFUSED as ERASED_REFUSED
from infra.metrics.rights import ERASURES as ERASURES
from infra.metrics.rights import RETENTION_REMOVED as RETENTION_REMOVED
from infra.metrics.serving import LONG_SECONDS as LONG_SECONDS
from infra.metrics.serving import SERVING_ADAPTER_PROVEN as SERVING_ADAPTER_PROVEN
from infra.metrics.serving import SERVING_BATCH_ROWS as SERVING_BATCH_ROWS
from infra.metrics.serving import SERVING_BREAKER_TRIPS as SERVING_BREAKER_TRIPS
from infra.metrics.serving import SERVING_CHAMPION_PROVEN as SERVING_CHAMPION_PROVEN
from infra.metrics.serving import SERVING_DUELS as SERVING_DUELS
from infra.metrics.serving import SERVING_FILTERED as SERVING_FILTERED
from infra.metrics.serving import SERVING_FIRST_TOKEN_SECONDS as SERVING_FIRST_TOKEN_SECONDS
from infra.metrics.serving import SERVING_IN_PROGRESS as SERVING_IN_PROGRESS
from infra.metrics.serving import SERVING_INTERACTIONS_LOST as SERVING_INTERACTIONS_LOST
from infra.metrics.serving import SERVING_KV_BYTES as SERVING_KV_BYTES
from infra.metrics.serving import SERVING_PROMPT_TOKENS as SERVING_PROMPT_TOKENS
from infra.metrics.serving import SERVING_PROOF_REPLICAS as SERVING_PROOF_REPLICAS
from infra.metrics.serving import SERVING_PROOFS as SERVING_PROOFS
from infra.metrics.serving import SERVING_QUEUE as SERVING_QUEUE
from infra.metrics.serving import SERVING_REDACTED as SERVING_REDACTED
from infra.metrics.serving import SERVING_REFUSED as SERVING_REFUSED
from infra.metrics.serving import SERVING_REQUEST_SECONDS as SERVING_REQUEST_SECONDS
from infra.metrics.serving import SERVING_ROUTES as SERVING_ROUTES
from infra.metrics.serving import SERVING_STATE_AGE as SERVING_STATE_AGE
from infra.metrics.serving import SERVING_TOKENS as SERVING_TOKENS
from infra.metrics.serving import SERVING_TRIPPED_ARMS as SERVING_TRIPPED_ARMS
from infra.metrics.serving import SERVING_UNLOGGED as SERVING_UNLOGGED
from infra.metrics.trust import TRUST_EFFECTIVE_PEOPLE as TRUST_EFFECTIVE_PEOPLE
from infra.metrics.trust import TRUST_QUARANTINED as TRUST_QUARANTINED
from infra.metrics.trust import TRUST_TOP_SHARE as TRUST_TOP_SHARE

# --- house: the process and its parts ---------------------------------------------------------------------------

BUILD_INFO = Gauge(
    "plaudit_build_info", "Always 1; the labels say what is running.", ["version", "config_hash"], registry=REGISTRY
)
PROCESS_START = OnceSet(
    "plaudit_process_start_time_seconds", "When this process was started, Unix seconds.", registry=REGISTRY
)
COMPONENT_READY = Gauge(
    "plaudit_component_ready", "1 when the named readiness check passes, else 0.", ["component"], registry=REGISTRY
)
ERRORS = Counter(
    "plaudit_errors_total", "Errors answered or logged, by stable code.", ["component", "code"], registry=REGISTRY
)

# --- store --------------------------------------------------------------------------------------------------------

TRANSACTION_DURATION = Histogram(
    "plaudit_store_transaction_duration_seconds",
    "Time from the start of a write transaction, waiting included, to its commit or rollback.",
    ["outcome"],
    buckets=SHORT_SECONDS,
    registry=REGISTRY,
)

# --- ingest -------------------------------------------------------------------------------------------------------

INGEST_ACCEPTED = Counter(
    "plaudit_ingest_accepted_total",
    "Items acknowledged as durable, by kind: feedback, interactions.",
    ["kind"],
    registry=REGISTRY,
)
INGEST_REJECTED = Counter(
    "plaudit_ingest_rejected_total", "Items refused at the door, by reason.", ["kind", "reason"], registry=REGISTRY
)
INGEST_STRANGERS = Counter(
    "plaudit_ingest_unknown_signals_total",
    "Items refused for a signal nobody here knows, and kept as dead letters.",
    registry=REGISTRY,
)
INGEST_REQUESTS_REFUSED = Counter(
    "plaudit_ingest_requests_refused_total",
    "Requests refused as a whole, by code: too large, no JSON, too much in flight, log unavailable.",
    ["kind", "code"],
    registry=REGISTRY,
)
INGEST_IN_FLIGHT = OnceSet(
    "plaudit_ingest_in_flight_items", "Items waiting for the log's acknowledgement.", registry=REGISTRY
)
INGEST_APPLIED = Counter(
    "plaudit_ingest_applied_total", "Items written to the store for the first time.", ["kind"], registry=REGISTRY
)
INGEST_DUPLICATES = Counter(
    "plaudit_ingest_duplicates_total",
    "Items that were already in the store, with the same content.",
    ["kind"],
    registry=REGISTRY,
)
INGEST_DEAD_LETTERS = Counter(
    "plaudit_ingest_dead_letters_total",
    "Dead letters, by reason: undecodable, conflict, unstorable.",
    ["kind", "reason"],
    registry=REGISTRY,
)
INGEST_APPLY_SECONDS = Histogram(
    "plaudit_ingest_apply_seconds",
    "Time to apply one polled batch, commit included.",
    ["kind"],
    buckets=SHORT_SECONDS,
    registry=REGISTRY,
)
INGEST_CONSUMER_FAILURES = Counter(
    "plaudit_ingest_consumer_failures_total",
    "Steps of the consumer that failed and are tried again, by kind of error.",
    ["kind", "error"],
    registry=REGISTRY,
)
INGEST_LAG = Gauge(
    "plaudit_ingest_consumer_lag_records",
    "Records of the assigned partitions not yet applied.",
    ["kind"],
    registry=REGISTRY,
)
INGEST_WATERMARK = Gauge(
    "plaudit_ingest_watermark_timestamp_seconds",
    "Everything appended before this instant, Unix seconds, to the partitions of this consumer has been applied.",
    ["kind"],
    registry=REGISTRY,
)
INGEST_LABELS = Counter(
    "plaudit_ingest_labels_total", "Labels made, by status: provisional, final.", ["status"], registry=REGISTRY
)

# --- reward model -------------------------------------------------------------------------------------------------

REWARD_MODEL_VERSION = Gauge(
    "plaudit_reward_model_version", "Version of the newest reward model.", ["name"], registry=REGISTRY
)
REWARD_MODEL_HELD_OUT = Gauge(
    "plaudit_reward_model_held_out_ratio",
    "Measures in 0..1 of the newest reward model's heads on held-out feedback, as in its report.",
    ["head", "measure"],
    registry=REGISTRY,
)
