"""Who is signed in: a signed cookie that says who, in which role, since when. Pure, but for the randomness of a nonce.

Cookie = base64url(JSON) "." base64url(HMAC-SHA-256). Nothing is stored: a session ends with its time, its key, or the
secret. The token against forged requests is an HMAC of the session's nonce, so it cannot be had from the cookie alone.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Literal

import msgspec

from infra.settings import Settings, user_secret

Role = Literal["admin", "viewer"]
COOKIE = "plaudit_console"
_NONCE_BYTES = 16
_MAX_COOKIE_CHARACTERS = 2048


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """`actor` stands in the audit trail; `key_id` is the API key signed in with, "" for the local password. Times are
    Unix seconds."""

    actor: str
    role: Role
    key_id: str
    issued_at: float
    nonce: str

    @property
    def acts(self) -> bool:
        """Whether this role may change anything."""
        return self.role == "admin"


def new_session(actor: str, role: Role, key_id: str, now: float) -> Session:
    """A session that begins now."""
    return Session(actor=actor, role=role, key_id=key_id, issued_at=now, nonce=secrets.token_hex(_NONCE_BYTES))


def session_secret(settings: Settings) -> bytes:
    """The setting, else one derived from the deployment's secret: rotating that one signs everybody out."""
    given = settings.console.session_secret.get_secret_value()
    return given.encode() if given else hmac.digest(user_secret(settings), b"console sessions", "sha256")


def sealed(session: Session, secret: bytes) -> str:
    """The cookie's value."""
    body = msgspec.json.encode(session)
    return f"{_text(body)}.{_text(_mac(secret, b'session:' + body))}"


def opened(cookie: str | None, secret: bytes, now: float, lifetime_seconds: float) -> Session | None:
    """The session in a cookie's value; None when there is none, it is not ours, or its time is over."""
    if not cookie or len(cookie) > _MAX_COOKIE_CHARACTERS:
        return None
    body_text, _, mac_text = cookie.partition(".")
    try:
        body, mac = _bytes(body_text), _bytes(mac_text)
        if not hmac.compare_digest(mac, _mac(secret, b"session:" + body)):
            return None
        session = msgspec.json.decode(body, type=Session)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    # A minute of the future: replicas' clocks differ.
    return session if -60.0 <= now - session.issued_at < lifetime_seconds else None


def csrf_token(session: Session, secret: bytes) -> str:
    """What every form of this session carries."""
    return _text(_mac(secret, b"csrf:" + session.nonce.encode()))


def csrf_holds(session: Session, secret: bytes, given: str) -> bool:
    """Whether a form was made for this session."""
    return hmac.compare_digest(csrf_token(session, secret).encode(), given.encode())


def _mac(secret: bytes, message: bytes) -> bytes:
    return hmac.new(secret, message, hashlib.sha256).digest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
