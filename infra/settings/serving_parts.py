"""Settings of parts of the gateway: duels and limits."""

from typing import Literal

from pydantic import Field

from infra.settings.base import Section


class DuelSettings(Section):
    """Pairs of answers shown side by side for a vote."""

    rate: float = Field(0.0, ge=0, le=1)
    """Share of the requests whose client can show duels that get two answers; logged with each as its propensity."""
    all_clients: bool = False
    """Take every client for one that can show duels. Off: those that send the header `x-plaudit-duels: 1` or the
    metadata `plaudit_duels: "1"`; others would run the two answers of a stream into one."""
    opponents: tuple[Literal["challenger", "base", "self"], ...] = ("challenger", "self")
    """Against what the champion stands; the first that can be served. People in an arm of an experiment, or in a
    conversation that is held to an adapter, only ever get `self`: two answers of the adapter they have anyway."""
    salt: str = "duels"
    """Draws requests anew when changed."""
    honeypot_refresh_seconds: float = Field(30.0, gt=0)
    """How often the honeypots in use are read; `trust.honeypot_rate` says how often one is shown."""


class LimitSettings(Section):
    """What one caller, and all together, may ask of a replica; above it 429 with Retry-After. 0: no limit.

    A caller is an API key, or an address where keys are not required. Tokens are the `max_tokens` of a request while it
    runs, and those really generated once it has ended. Requests a minute are limited in `access`.
    """

    max_requests: int = Field(1024, ge=0)
    """Requests in progress at once, streams included."""
    caller_requests: int = Field(0, ge=0)
    """Requests in progress at once of one caller."""
    user_requests: int = Field(0, ge=0)
    """Requests in progress at once of one person."""
    caller_tokens_per_minute: float = Field(0.0, ge=0)
    """Sustained generated tokens of one caller."""
    caller_token_burst: int = Field(100_000, ge=1)
    """Generated tokens of one caller that may come at once."""
    user_tokens_per_minute: float = Field(0.0, ge=0)
    """Sustained generated tokens of one person."""
    user_token_burst: int = Field(20_000, ge=1)
    """Generated tokens of one person that may come at once."""
    max_prompt_tokens: int = Field(0, ge=0)
    """Longest prompt in tokens; above it 400. 0: what the context holds."""
