"""What a caller and a person may have in progress, and how many tokens they may have generated.

Tokens are reserved as the request comes, as many as it may use, and what it did not use is given back at its end: who
asks for much waits for it, and nobody runs over by having many in progress. Limits are counted a process.
"""

import threading
from collections import OrderedDict, defaultdict

from infra.settings.serving_parts import LimitSettings
from ingest.access.limits import Bucket, RateLimited, refilled, taken

BUSY_RETRY_SECONDS = 1.0
_MAX_BUCKETS = 100_000


class TokenBudget:
    """Token buckets by name. Safe to share between threads; a rate of 0 limits nothing."""

    def __init__(self, per_minute: float, burst: int) -> None:
        self._rate = per_minute / 60.0
        self._burst = float(burst)
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def reserve(self, name: str, count: float, now: float) -> float:
        """Take `count` tokens: 0.0 when they were there, else the seconds until they are. More than the burst is never
        there at once: it counts as the burst."""
        if not self._rate:
            return 0.0
        with self._lock:
            bucket = self._bucket(name, now)
            self._buckets[name], seconds = taken(bucket, min(count, self._burst), self._rate)
            self._buckets.move_to_end(name)
            if len(self._buckets) > _MAX_BUCKETS:
                self._buckets.popitem(last=False)
        return seconds

    def give_back(self, name: str, count: float, now: float) -> None:
        """`count` tokens of those reserved were not used."""
        if self._rate and count > 0:
            with self._lock:
                bucket = self._bucket(name, now)
                self._buckets[name] = Bucket(min(self._burst, bucket.tokens + count), bucket.at)

    def _bucket(self, name: str, now: float) -> Bucket:
        return refilled(self._buckets.get(name, Bucket(self._burst, now)), now, self._rate, self._burst)


class Ticket:
    """What one admitted request holds until it has ended."""

    __slots__ = ("_admission", "_ended", "caller", "reserved", "user")

    def __init__(self, admission: "Admission", caller: str | None, user: str | None, reserved: int) -> None:
        self._admission = admission
        self._ended = False
        self.caller = caller
        self.user = user
        self.reserved = reserved

    def end(self, generated: int, now: float) -> None:
        """The request has ended, `generated` tokens long; ending it again changes nothing."""
        if not self._ended:
            self._ended = True
            self._admission.leave(self, generated, now)


class Admission:
    """One a gateway. Safe to share between threads."""

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._running = 0
        self._by_caller: defaultdict[str, int] = defaultdict(int)
        self._by_user: defaultdict[str, int] = defaultdict(int)
        self._caller_tokens = TokenBudget(settings.caller_tokens_per_minute, settings.caller_token_burst)
        self._user_tokens = TokenBudget(settings.user_tokens_per_minute, settings.user_token_burst)

    @property
    def running(self) -> int:
        """Requests in progress."""
        return self._running

    def enter(self, caller: str | None, user: str | None, tokens: int, now: float) -> Ticket:
        """Admit a request that may generate `tokens`. Raises RateLimited, and then nothing was taken."""
        with self._lock:
            self._require_room(caller, user)
            self._count(caller, user, 1)
        ticket = Ticket(self, caller, user, tokens)
        try:
            self._reserve(ticket, now)
        except RateLimited:
            with self._lock:
                self._count(caller, user, -1)
            raise
        return ticket

    def leave(self, ticket: Ticket, generated: int, now: float) -> None:
        """A request has ended."""
        with self._lock:
            self._count(ticket.caller, ticket.user, -1)
        unused = ticket.reserved - generated
        if ticket.caller is not None:
            self._caller_tokens.give_back(ticket.caller, unused, now)
        if ticket.user is not None:
            self._user_tokens.give_back(ticket.user, unused, now)

    def _require_room(self, caller: str | None, user: str | None) -> None:
        limits = self._settings
        checks = (
            ("this replica has", self._running, limits.max_requests),
            ("this caller has", self._by_caller.get(caller, 0) if caller else 0, limits.caller_requests),
            ("this user has", self._by_user.get(user, 0) if user else 0, limits.user_requests),
        )
        for who, running, most in checks:
            if most and running >= most:
                raise RateLimited(f"{who} {running} requests in progress, as many as it may: wait", BUSY_RETRY_SECONDS)

    def _reserve(self, ticket: Ticket, now: float) -> None:
        if ticket.caller is not None:
            seconds = self._caller_tokens.reserve(ticket.caller, ticket.reserved, now)
            if seconds > 0:
                raise RateLimited(f"this caller has generated too many tokens; wait {seconds:.1f} s", seconds)
        if ticket.user is not None:
            seconds = self._user_tokens.reserve(ticket.user, ticket.reserved, now)
            if seconds > 0:
                if ticket.caller is not None:
                    self._caller_tokens.give_back(ticket.caller, ticket.reserved, now)
                raise RateLimited(f"this user has generated too many tokens; wait {seconds:.1f} s", seconds)

    def _count(self, caller: str | None, user: str | None, change: int) -> None:
        self._running += change
        for name, counts, limit in (
            (caller, self._by_caller, self._settings.caller_requests),
            (user, self._by_user, self._settings.user_requests),
        ):
            if name is not None and limit:
                counts[name] += change
                if not counts[name]:
                    del counts[name]
