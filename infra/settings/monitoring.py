"""Settings of what is promised and watched."""

from pydantic import Field

from infra.settings.base import Section


class MonitoringSettings(Section):
    """Gauges that are read from the store, and the promises that alerts are made from."""

    refresh_seconds: float = Field(10.0, ge=0)
    """Scrapes within so long of one another share one reading of the store."""
    availability: float = Field(0.999, gt=0, lt=1)
    """Share of chat requests that must not fail by our fault."""
    first_token_seconds: float = Field(2.5, gt=0)
    """How soon the first token must come: one of the edges of the histogram of first tokens."""
    first_token_share: float = Field(0.95, gt=0, lt=1)
    """Share of answers whose first token must come so soon."""
    feedback_availability: float = Field(0.999, gt=0, lt=1)
    """Share of feedback requests that must not fail by our fault."""
