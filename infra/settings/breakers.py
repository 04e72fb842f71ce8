"""Settings of the gateway's circuit breakers."""

from pydantic import Field

from infra.settings.base import Section


class BreakerSettings(Section):
    """When a gateway gives up by itself on an arm that is not the champion, without waiting for a decision.

    Each limit is tested after every answer; an arm that keeps to all of them is given up with probability `alpha` at
    most, however long it runs. While the champion itself is over a limit, that limit says nothing about an arm.
    """

    enabled: bool = True
    """Whether arms are given up at all."""
    alpha: float = Field(0.001, gt=0, lt=0.5)
    """Chance that an arm within all limits is ever given up by one replica."""
    max_error_share: float = Field(0.05, gt=0, lt=1)
    """Share of requests that may fail: the engine's errors and timeouts, not refusals."""
    max_empty_share: float = Field(0.05, gt=0, lt=1)
    """Share of requests whose answers may all be blank."""
    max_slow_share: float = Field(0.05, gt=0, lt=1)
    """Share of requests that may take longer than `latency_multiple` times the champion's own slowest such share."""
    latency_multiple: float = Field(3.0, gt=1)
    """With 0.05: the arm's 95th percentile may be this many times the champion's."""
    min_requests: int = Field(10, ge=1)
    """Requests of an arm on this replica before it can be given up."""
    champion_window: int = Field(500, ge=50, le=100_000)
    """Latest answers of the champion from which its percentile is taken; none is before there are 50."""
