"""How many feedback events of one person are taken: those above the rate are refused one by one."""

from collections.abc import Sequence

from infra.contracts import FeedbackEvent
from infra.settings.access import AccessSettings
from ingest.access.limits import RateLimited, RateLimiter
from ingest.rules import Problem
from ingest.wire import Rejection


class EventLimit:
    """One a process; events without a user are not counted: the key's own rate holds for them."""

    def __init__(self, settings: AccessSettings) -> None:
        self._limiter = RateLimiter(settings.user_events_per_minute, settings.user_event_burst, settings.max_buckets)

    @property
    def active(self) -> bool:
        """Whether settings limit anything."""
        return self._limiter.active

    def screened(self, events: Sequence[FeedbackEvent | Rejection], now: float) -> list[FeedbackEvent | Rejection]:
        """The events, those beyond their person's rate as refusals. Raises RateLimited when that leaves none."""
        if not self.active:
            return list(events)
        longest = 0.0
        screened: list[FeedbackEvent | Rejection] = []
        for event in events:
            wait = self._wait(event, now)
            longest = max(longest, wait)
            screened.append(_refused(event, wait) if wait > 0.0 else event)
        if longest > 0.0 and not any(isinstance(event, FeedbackEvent) for event in screened):
            raise RateLimited(f"these users' events came too often; wait {longest:.1f} s", longest)
        return screened

    def _wait(self, event: FeedbackEvent | Rejection, now: float) -> float:
        # What is kept of a refused one costs as much as an event.
        user_key = event.user_key if isinstance(event, FeedbackEvent) else (event.document or {}).get("user_key")
        return 0.0 if user_key is None else self._limiter.wait(user_key, now)


def _refused(event: FeedbackEvent | Rejection, wait: float) -> Rejection:
    item_id = event.event_id if isinstance(event, FeedbackEvent) else event.item_id
    return Rejection(item_id, Problem("rate_limited", f"this user's events came too often; wait {wait:.1f} s", "user"))
