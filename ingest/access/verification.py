"""Verifying API keys: a hash and a look into memory for a known key, one indexed read for any other.

A verified key is believed for `access.cache_seconds`; so a revocation holds everywhere within this time. While the
store is away, keys verified before are believed for `access.stale_seconds`: feedback is taken while the store is down.
"""

import threading
from collections import OrderedDict
from typing import NamedTuple

import structlog
from starlette.concurrency import run_in_threadpool

from infra.contracts import PlauditError
from infra.db import StoreUnavailable
from infra.metrics import catalogue as metrics
from infra.runtime import Context
from infra.runtime.inline import as_task
from ingest.access.keys import MAX_KEY_CHARACTERS, PREFIX, ApiKey, hash_of
from ingest.access.repository import KeyRepository

log = structlog.get_logger()

REMEMBERED = 10_000
"""Known keys kept in memory, and as many hashes that are no key."""


class InvalidApiKey(PlauditError):
    """No key, or one that does not exist, was revoked, or has expired."""

    code = "invalid_api_key"
    status = 401


class ScopeMissing(PlauditError):
    """The key is valid and may not do this."""

    code = "insufficient_scope"
    status = 403


class _Known(NamedTuple):
    key: ApiKey | None
    asked_at: float


class KeyRing:
    """One a process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.settings.access
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._unknown: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    async def verify(self, secret: str) -> ApiKey:
        """The live key with this secret. Raises InvalidApiKey; StoreUnavailable for a key nobody has seen yet."""
        if not secret.startswith(PREFIX) or len(secret) > MAX_KEY_CHARACTERS:
            raise _refusal("is no key of this service: it begins with " + repr(PREFIX))
        digest = hash_of(secret)
        now = self._context.clock.now()
        found = self._remembered(digest)
        if found is None or now - found.asked_at >= self._settings.cache_seconds:
            await as_task()  # anyio asks for it
            found = await run_in_threadpool(self._asked, digest, now, found)
        if found.key is None:
            raise _refusal("does not exist")
        if not found.key.live(now):
            raise _refusal(f"is {found.key.status(now)}")
        return found.key

    def _remembered(self, digest: str) -> _Known | None:
        return self._known.get(digest) or self._unknown.get(digest)

    def _asked(self, digest: str, now: float, before: _Known | None) -> _Known:
        try:
            with self._context.database.reading() as connection:
                key = KeyRepository(connection, self._context.settings.project).by_hash(digest)
        except StoreUnavailable:
            if before is not None and before.key and now - before.asked_at < self._settings.stale_seconds:
                metrics.ACCESS_LOOKUPS.labels("stale").inc()
                return before
            raise
        metrics.ACCESS_LOOKUPS.labels("known" if key else "unknown").inc()
        found = _Known(key, now)
        self._remember(digest, found)
        if key is not None:
            self._note_use(key, now)
        return found

    def _remember(self, digest: str, found: _Known) -> None:
        """Keys and strangers are kept apart: a flood of strangers pushes no key out."""
        with self._lock:
            self._unknown.pop(digest, None)
            kept = self._known if found.key is not None else self._unknown
            kept[digest] = found
            kept.move_to_end(digest)
            if len(kept) > REMEMBERED:
                kept.popitem(last=False)

    def _note_use(self, key: ApiKey, now: float) -> None:
        if key.last_used_at is not None and now - key.last_used_at < self._settings.last_used_resolution_seconds:
            return
        try:
            with self._context.database.transaction() as connection:
                KeyRepository(connection, self._context.settings.project).touch(key.key_id, now)
        except PlauditError as error:  # a note that can wait: the request must not
            log.warning("key_use_not_noted", key_id=key.key_id, error=error.message)


def _refusal(what: str) -> InvalidApiKey:
    return InvalidApiKey(f"the API key {what}; send `Authorization: Bearer <key>` with one of `plaudit keys create`")
