"""Settings of the room `ingest`."""

from typing import Any

from pydantic import Field, field_validator

from infra.settings.base import Section
from infra.settings.ways_in import BrowserSettings, CompatSettings


class ObjectiveSettings(Section):
    """How one column of the label is made."""

    definition: str
    """Name of a definition in `ingest.objectives.DEFINITIONS`."""
    weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    """How much a label's value of this objective counts. 0: recorded and reported, but it teaches nothing."""
    parameters: dict[str, float] = Field(default_factory=dict)
    """Constants of the definition; what is not given keeps the definition's own default."""


DEFAULT_OBJECTIVES: dict[str, dict[str, Any]] = {
    "love": {"definition": "love"},
    "sentiment": {"definition": "sentiment"},
    # Reading time also grows with confusion: it stays at weight 0 until it is seen to predict sentiment or return.
    "dwell": {"definition": "dwell", "weight": 0.0},
    "reuse": {"definition": "reuse"},
    "share": {"definition": "share"},
    "harm": {"definition": "harm"},
}


class IngestSettings(Section):
    """Feedback API, consumer and label maker."""

    window_seconds: float = Field(24 * 3600.0, gt=0)
    """How long people have to react to an answer; at its end silence gets its meaning and the label becomes final."""
    allowed_lateness_seconds: float = Field(3600.0, ge=0)
    """How far the watermark must be past the end of a window before the label is made final."""
    objectives: dict[str, ObjectiveSettings] = Field(default_factory=dict)
    """Columns of the label. What a file names here is merged, key by key, into the defaults of the six objectives."""
    duel_weight: float = Field(1.0, ge=0)
    """Weight of a preference pair from a duel: the person compared the two."""
    regenerate_weight: float = Field(0.5, ge=0)
    """Weight of a preference pair from a regeneration: the person turned away from the first answer, no more."""

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
    consumer_batch_records: int = Field(200, ge=1)
    """Most log records applied in one transaction of the store."""
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

    @field_validator("objectives", mode="before")
    @classmethod
    def _merge_defaults(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given  # pydantic says what is wrong with it
        merged: dict[str, Any] = {name: dict(defaults) for name, defaults in DEFAULT_OBJECTIVES.items()}
        for name, value in given.items():
            document = value.model_dump() if isinstance(value, ObjectiveSettings) else value
            base = merged.get(name, {})
            merged[name] = {**base, **document} if isinstance(document, dict) else document
        return merged
