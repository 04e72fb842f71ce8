"""Settings of the room `ingest`."""

from pydantic import Field

from infra.settings.rewards import (
    DEFAULT_OBJECTIVES,
    CandidateSettings,
    DwellSettings,
    ObjectiveSettings,
    SelectionSettings,
    SolicitationSettings,
    Specification,
    ValiditySettings,
)
from infra.settings.ways_in import BrowserSettings, CompatSettings

__all__ = ["DEFAULT_OBJECTIVES", "IngestSettings", "ObjectiveSettings"]


class IngestSettings(Specification):
    """Feedback API, consumer and label maker."""

    allowed_lateness_seconds: float = Field(3600.0, ge=0)
    """How far the watermark must be past the end of a window before the label is made final."""

    max_body_bytes: int = Field(4 * 1024 * 1024, ge=1024)
    """Largest request body, after decompression; above it 413."""
    max_batch_events: int = Field(5000, ge=1)
    """Most events, or interactions, in one request; above it 413."""
    max_in_flight_events: int = Field(100_000, ge=1)
    """Events waiting for the log's acknowledgement; above it 429."""
    retry_after_seconds: int = Field(2, ge=1)
    """What `Retry-After` says with 429 and 503."""

    consumer_group: str = Field("plaudit-ingest", pattern=r"^[a-zA-Z0-9._-]{1,64}$")
    """Group under which the consumer reads both topics."""
    consumer_batch_records: int = Field(500, ge=1)
    """Most log records applied in one transaction of the store. Larger transactions cost less an event; only a backlog
    fills them."""
    consumer_gather_seconds: float = Field(0.4, ge=0)
    """Least time from the beginning of one transaction of a topic to the next while records come: an event costs less
    in a large transaction, and its label waits so much longer at most. No wait after silence, nor in a backlog."""
    poll_seconds: float = Field(0.1, gt=0)
    """How long one poll of the log waits for records."""
    watermark_refresh_seconds: float = Field(1.0, gt=0)
    """How often a consumer that has caught up says so."""
    backoff_seconds: float = Field(0.5, gt=0)
    """First pause after a failure of store or log; doubled with each further failure."""
    max_backoff_seconds: float = Field(30.0, gt=0)
    """Longest pause after a failure of store or log."""
    label_batch: int = Field(500, ge=1)
    """Labels made final in one transaction."""

    browser: BrowserSettings = BrowserSettings()
    """Feedback tokens and the browser script."""
    compat: CompatSettings = CompatSettings()
    """What the names that users of TensorZero and Langfuse send mean here."""

    candidate_specification: CandidateSettings = CandidateSettings()
    """A second reward specification, run beside this one: `plaudit ingest compare-specifications`."""
    dwell: DwellSettings = DwellSettings()
    """Reading time as a reward."""
    selection: SelectionSettings = SelectionSettings()
    """Who speaks, and what that does to what is heard."""
    solicitation: SolicitationSettings = SolicitationSettings()
    """Asking people for a vote at random."""
    validity: ValiditySettings = ValiditySettings()
    """Which short signals predict return."""
