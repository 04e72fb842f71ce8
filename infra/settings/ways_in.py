"""Settings of the ways feedback comes in beside the API: browsers, and the shapes of other products."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from infra.settings.base import Section


class BrowserSettings(Section):
    """Feedback tokens and the browser script."""

    token_lifetime_seconds: float = Field(7 * 86400.0, gt=0, le=400 * 86400.0)
    """How long after an answer its page can send feedback."""
    max_events_per_token: int = Field(500, ge=1, le=10_000)
    """Most events about one answer from one page; above it the token is used up."""
    max_body_bytes: int = Field(65_536, ge=1024)
    """Largest request body of a browser; `sendBeacon` itself carries no more."""
    script_max_age_seconds: int = Field(3600, ge=0)
    """How long browsers may keep the script before they ask again."""


MappedSignal = Literal["vote", "rating", "dwell", "copy", "reuse", "share", "report", "comment", "edit", "shown"]


class MetricSettings(Section):
    """What a metric (TensorZero) or score (Langfuse) of one name means here."""

    signal: MappedSignal
    """`vote`: above the middle of the scale a like, below it a dislike, the middle takes the vote back. `rating`: where
    the value lies on the scale. `dwell`: seconds. `comment`, `edit`: the text. Others: true sets, false withdraws."""
    low: float = Field(0.0, allow_inf_nan=False)
    """Worst end of the scale of numbers."""
    high: float = Field(1.0, allow_inf_nan=False)
    """Best end of the scale, below `low` where less is better. True stands at the greater end, false at the other."""
    categories: dict[str, float] = Field(default_factory=dict)
    """What a text stands for, as a number of the scale; texts are compared without regard to case."""

    @model_validator(mode="after")
    def _has_a_scale(self) -> Self:
        if self.low == self.high:
            raise ValueError("low and high are equal: a scale has two ends")
        return self


_GOOD_BAD = {"good": 1.0, "positive": 1.0, "thumbs_up": 1.0, "bad": 0.0, "negative": 0.0, "thumbs_down": 0.0}
DEFAULT_METRICS: dict[str, dict[str, Any]] = {
    "thumbs_up": {"signal": "vote"},
    "thumbs_down": {"signal": "vote", "low": 1.0, "high": 0.0},
    "like": {"signal": "vote"},
    "user-feedback": {"signal": "vote", "categories": _GOOD_BAD},
    "user_feedback": {"signal": "vote", "categories": _GOOD_BAD},
    "helpful": {"signal": "vote", "categories": _GOOD_BAD},
    "rating": {"signal": "rating"},
    "dwell": {"signal": "dwell"},
    "copied": {"signal": "copy"},
    "accepted": {"signal": "reuse"},
    "shared": {"signal": "share"},
    "reported": {"signal": "report"},
    "comment": {"signal": "comment"},
    "demonstration": {"signal": "edit"},
    "correction": {"signal": "edit"},
}


class CompatSettings(Section):
    """The shapes of TensorZero's `POST /feedback` and Langfuse's `POST /api/public/scores`."""

    metrics: dict[str, MetricSettings] = Field(default_factory=dict)
    """Names of metrics and scores. What a file names here is merged, key by key, into the defaults."""
    tensorzero_id_prefix: str = Field("", max_length=32, pattern=r"^[A-Za-z0-9._-]*$")
    """Put before `inference_id`, which the clients of TensorZero send as a bare UUID. `chatcmpl-` where answers come
    from this gateway; empty where they come from elsewhere."""
    tensorzero_user_tag: str = "user_id"
    """Tag of a TensorZero request that holds the caller's id of the person; it becomes a user key."""

    langfuse_answer: Literal["trace", "observation"] = "trace"
    """Whether a Langfuse score is about the answer named by `traceId`, or by `observationId` where it has one."""
    langfuse_user_field: str = "user_id"
    """Field of a Langfuse score's `metadata` that holds the caller's id of the person; it becomes a user key."""

    @field_validator("metrics", mode="before")
    @classmethod
    def _merge_defaults(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given  # pydantic says what is wrong with it
        merged: dict[str, Any] = {name: dict(defaults) for name, defaults in DEFAULT_METRICS.items()}
        for name, value in given.items():
            document = value.model_dump() if isinstance(value, MetricSettings) else value
            merged[name] = {**merged.get(name, {}), **document} if isinstance(document, dict) else document
        return merged
