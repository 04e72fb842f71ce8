"""Rate limits: token buckets in this process, as many as memory is given for.

A bucket holds at most `burst` tokens and gains `rate` tokens a second; an action takes one, or is told when the next
one is there (the token bucket of RFC 2697 with one colour). Limits are counted a process: with several replicas a
caller has the limit once on each.
"""

import threading
from collections import OrderedDict
from typing import NamedTuple

from infra.contracts import PlauditError


class RateLimited(PlauditError):
    """A caller came more often than it may. `retry_after_seconds` says when it may again."""

    code = "rate_limit_exceeded"
    status = 429

    def __init__(self, message: str, retry_after_seconds: float, **more: str) -> None:
        super().__init__(message, **more)  # type: ignore[arg-type]
        self.retry_after_seconds = retry_after_seconds


class Bucket(NamedTuple):
    """Tokens at an instant (Unix seconds)."""

    tokens: float
    at: float


def refilled(bucket: Bucket, now: float, rate: float, burst: float) -> Bucket:
    """min(burst, tokens + rate * elapsed). A clock that steps back gives nothing and takes nothing. Pure."""
    elapsed = max(0.0, now - bucket.at)
    return Bucket(min(burst, bucket.tokens + rate * elapsed), max(now, bucket.at))


def taken(bucket: Bucket, count: float, rate: float) -> tuple[Bucket, float]:
    """(bucket without `count` tokens, 0.0), or (the bucket as it is, seconds until there are enough). Pure."""
    if bucket.tokens >= count:
        return Bucket(bucket.tokens - count, bucket.at), 0.0
    return bucket, (count - bucket.tokens) / rate


class RateLimiter:
    """Buckets by name. Safe to share between threads; a rate of 0 limits nothing.

    Beyond `max_buckets` the one not used for longest is forgotten: who comes back after that starts with a full one.
    """

    def __init__(self, per_minute: float, burst: int, max_buckets: int) -> None:
        self._rate = per_minute / 60.0
        self._burst = float(burst)
        self._max_buckets = max_buckets
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def active(self) -> bool:
        """Whether anything is limited."""
        return self._rate > 0.0

    def wait(self, name: str, now: float, count: float = 1.0) -> float:
        """Take `count` tokens of the bucket `name`: 0.0 when they were there, else the seconds until they are. What is
        more than the burst is never there at once: it counts as the burst."""
        if not self.active:
            return 0.0
        with self._lock:
            bucket = refilled(self._buckets.get(name, Bucket(self._burst, now)), now, self._rate, self._burst)
            self._buckets[name], seconds = taken(bucket, min(count, self._burst), self._rate)
            self._buckets.move_to_end(name)
            if len(self._buckets) > self._max_buckets:
                self._buckets.popitem(last=False)
        return seconds

    def require(self, name: str, now: float, what: str) -> None:
        """Take one token. Raises RateLimited, which calls the caller `what`."""
        seconds = self.wait(name, now)
        if seconds > 0.0:
            raise RateLimited(f"{what} came too often; wait {seconds:.1f} s", seconds)
