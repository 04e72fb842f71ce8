"""API keys as such: how one is made, hashed, and what it allows. Pure, but for the randomness of a new key.

A key is `plk-` and 43 characters of base64url: 256 random bits. The store keeps its SHA-256 and never the key. A fast
hash suffices: slow ones (argon2, scrypt) protect secrets that people choose and that can be guessed; nobody guesses 256
random bits, at whatever rate, and a fast hash is what lets every request be verified in microseconds. No salt either:
equal hashes would need equal keys.
"""

import hashlib
import secrets
from collections.abc import Iterable
from typing import Literal, get_args

import msgspec

from infra.contracts import PlauditError

Scope = Literal["infer", "feedback", "read", "console:read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

PREFIX = "plk-"
_RANDOM_BYTES = 32
MAX_KEY_CHARACTERS = 256
"""A longer bearer is no key of ours and is not even hashed."""


class InvalidScope(PlauditError):
    """A scope that does not exist."""

    code = "invalid_scope"
    status = 422


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret. Times are Unix seconds; `last_used_at` is coarse."""

    key_id: str
    name: str
    scopes: frozenset[str]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None

    def live(self, now: float) -> bool:
        """Whether the key may be used at `now`."""
        return self.ends_at > now

    @property
    def ends_at(self) -> float:
        """When it ends, by expiry or revocation, whichever comes first; infinity for never."""
        ends = [instant for instant in (self.expires_at, self.revoked_at) if instant is not None]
        return min(ends, default=float("inf"))

    def status(self, now: float) -> str:
        """`live`, `expired`, `revoked`, or `ending` when a revocation lies ahead."""
        if self.revoked_at is not None:
            return "revoked" if self.revoked_at <= now else "ending"
        return "live" if self.live(now) else "expired"

    def allows(self, scope: str) -> bool:
        """Whether the key has this scope; `admin` has them all."""
        return scope in self.scopes or "admin" in self.scopes


def new_secret() -> str:
    """A new key, shown once and never stored."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hash_of(secret: str) -> str:
    """SHA-256 (hex) of a key: what the store knows of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def checked_scopes(wanted: Iterable[str]) -> frozenset[str]:
    """The scopes, checked. Raises InvalidScope for none, or for one that does not exist."""
    scopes = frozenset(wanted)
    unknown = sorted(scopes - set(SCOPES))
    if unknown or not scopes:
        raise InvalidScope(
            f"{', '.join(map(repr, unknown)) or 'no scope'} given; choose among {', '.join(SCOPES)}", field="scopes"
        )
    return scopes
