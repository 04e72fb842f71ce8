"""Settings of access: API keys, rate limits, cross-origin calls."""

from pydantic import Field

from infra.settings.base import Section


class AccessSettings(Section):
    """Who may call the gateway and the feedback API, and how often."""

    require_keys: bool = False
    """Refuse requests without a valid API key. Keep it off only while every service listens on loopback."""
    open_paths: tuple[str, ...] = ("/healthz", "/livez", "/readyz", "/metrics")
    """Paths that need no key even where keys are required."""
    cache_seconds: float = Field(5.0, ge=0, le=300)
    """How long a verified key is believed without asking the store: a revocation takes effect within this time."""
    stale_seconds: float = Field(300.0, ge=0)
    """With the store unreachable, keys verified before are believed this long; unknown ones get 503."""
    last_used_resolution_seconds: float = Field(3600.0, gt=0)
    """How finely the last use of a key is written down: a write per key and this time, at most."""
    requests_per_minute: float = Field(0.0, ge=0)
    """Sustained requests of one API key (without keys: of one address); above it 429. 0: no limit."""
    request_burst: int = Field(60, ge=1)
    """Requests that may come at once before the sustained rate counts."""
    user_requests_per_minute: float = Field(0.0, ge=0)
    """Sustained chat requests of one person; above it 429. 0: no limit."""
    user_request_burst: int = Field(20, ge=1)
    """Chat requests of one person that may come at once."""
    user_events_per_minute: float = Field(0.0, ge=0)
    """Sustained feedback events of one person; those above it are refused one by one. 0: no limit."""
    user_event_burst: int = Field(120, ge=1)
    """Feedback events of one person that may come at once."""
    max_buckets: int = Field(100_000, ge=1)
    """Keys, addresses and people whose rate is remembered at once; the one not seen for longest is forgotten first."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the API from a browser, `https://host[:port]`; none by default."""
    cors_max_age_seconds: int = Field(600, ge=0)
    """How long a browser may keep the answer to a preflight request."""
