"""Feedback tokens: what a page needs to react to one answer, and to no other, without an API key.

A token is issued with an answer and names it, the person who asked, when it ends, and itself. It is signed under a key
derived from the deployment secret by a label, so neither the secret nor a user key can be computed from it, and a
token can be checked without any look-up. Layout, before unpadded base64url (RFC 4648, section 5):

    version, 1 byte | issued, 4 | expires, 4 | token id, 8 random | response id | user key | tag, 16

Instants are big-endian Unix seconds. The response id is 0xFF and the 16 bytes of its UUID where it has the form
`chatcmpl-<uuid>`, else its length, 1 byte, and its ASCII; the user key is 0xFF and 16 bytes where it is 32 hex digits,
else its length (0: no user) and its ASCII. tag = HMAC-SHA256(key, project | 0x00 | everything before), its first 16
bytes: 128 bits (RFC 2104, section 5 allows half). key = HMAC-SHA256(secret, label), a labelled derivation as in the
expand step of RFC 5869.
"""

import base64
import binascii
import hashlib
import hmac
import re
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from infra.contracts import PlauditError
from infra.contracts.ids import eight_random_bytes

HEADER = "x-plaudit-feedback-token"
"""Response header of the gateway that carries the token of the answer."""
MAX_TOKEN_CHARACTERS = 512
"""Longer texts are not looked at."""

_LABEL = b"plaudit feedback token v1"
_VERSION = 1
_HEAD = struct.Struct(">BII8s")
_TAG_BYTES = 16
_PACKED = 0xFF
_OUR_ID = re.compile(r"chatcmpl-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
_HEX_KEY = re.compile(r"[0-9a-f]{32}")
_SHAPE = re.compile(r"[A-Za-z0-9_-]+")


class TokenForged(PlauditError):
    """Not a token that this deployment signed for this project."""

    code = "token_forged"
    status = 401


class TokenExpired(PlauditError):
    """The token was good once."""

    code = "token_expired"
    status = 401


class TokenForAnotherAnswer(PlauditError):
    """The token is good, for another answer."""

    code = "token_for_another_answer"
    status = 403


@dataclass(frozen=True, slots=True)
class Token:
    """What a good token says. Instants are whole Unix seconds. `token_id` is 24 hex digits, nearly sorted by issue."""

    token_id: str
    response_id: str
    user_key: str | None
    issued_at: int
    expires_at: int

    def require(self, response_id: str) -> None:
        """Raises TokenForAnotherAnswer unless the token is for this response."""
        if response_id != self.response_id:
            raise TokenForAnotherAnswer(
                f"the token was issued for another answer than {response_id[:128]!r}; use the token that came with it",
                field="response_id",
            )


def issue(
    secret: bytes, project: str, response_id: str, user_key: str | None, issued_at: float, expires_at: float
) -> str:
    """A token, 90 characters for ids of our own, for feedback of one person (or, without user key, of the one who
    asked) on one response. Raises ValueError for ids too long or not ASCII, and instants out of [0, 2^32)."""
    body = _HEAD.pack(_VERSION, int(issued_at), int(expires_at), eight_random_bytes()) + _pack_response(response_id)
    body += _pack_user(user_key)
    return base64.urlsafe_b64encode(body + _tag(secret, project, body)).rstrip(b"=").decode()


def verify(secrets: Sequence[bytes], project: str, token: str, now: float) -> Token:
    """What the token says. `secrets`: the deployment secret, and former ones while their tokens shall live on.

    Raises TokenForged, TokenExpired. Compares in constant time.
    """
    raw = _decode(token)
    body, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
    if not any(hmac.compare_digest(tag, _tag(secret, project, body)) for secret in secrets):
        raise _forged("its signature is not ours")
    try:
        found = _unpack(body)
    except (struct.error, IndexError, UnicodeDecodeError):  # signed by us in a layout that this version does not know
        raise _forged("its layout is unknown") from None
    if now >= found.expires_at:
        raise TokenExpired(
            f"the token expired {now - found.expires_at:.0f} s ago; load the page again for a new one", field="token"
        )
    return found


def _forged(why: str) -> TokenForged:
    return TokenForged(
        f"this is not a feedback token of this deployment ({why}); pass on the {HEADER} header unchanged", field="token"
    )


def _tag(secret: bytes, project: str, body: bytes) -> bytes:
    """The first bytes of HMAC-SHA256 (RFC 2104), of which the part that depends on the key alone is made once."""
    inner, outer = _started(secret, project)
    told, tag = inner.copy(), outer.copy()
    told.update(body)
    tag.update(told.digest())
    return tag.digest()[:_TAG_BYTES]


@lru_cache(maxsize=16)
def _started(secret: bytes, project: str) -> "tuple[hashlib._Hash, hashlib._Hash]":
    block = hmac.digest(secret, _LABEL, hashlib.sha256).ljust(64, b"\0")
    inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in block]) + project.encode() + b"\0")
    return inner, hashlib.sha256(bytes([byte ^ 0x5C for byte in block]))


def _decode(token: str) -> bytes:
    if len(token) > MAX_TOKEN_CHARACTERS or _SHAPE.fullmatch(token) is None:
        raise _forged("it is not base64url")
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        raise _forged("it is not base64url") from None
    if len(raw) <= _TAG_BYTES or base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != token:
        raise _forged("it is cut short or written in another way than it was issued")
    return raw


def _pack_response(response_id: str) -> bytes:
    ours = _OUR_ID.fullmatch(response_id)
    return bytes([_PACKED]) + bytes.fromhex(ours[1].replace("-", "")) if ours else _pack_text(response_id)


def _pack_user(user_key: str | None) -> bytes:
    if user_key is not None and _HEX_KEY.fullmatch(user_key):
        return bytes([_PACKED]) + bytes.fromhex(user_key)
    return _pack_text(user_key or "")


def _pack_text(text: str) -> bytes:
    raw = text.encode("ascii")
    if len(raw) > 128:
        raise ValueError(f"{text[:40]!r}... has {len(raw)} characters; a token holds ids of at most 128")
    return bytes([len(raw)]) + raw


def _unpack(body: bytes) -> Token:
    version, issued_at, expires_at, random = _HEAD.unpack_from(body)
    if version != _VERSION:
        raise _forged(f"its version is {version}")
    response, rest = _split(body[_HEAD.size :])
    user, _ = _split(rest)
    return Token(
        token_id=f"{issued_at:08x}{random.hex()}",
        response_id=f"chatcmpl-{uuid.UUID(bytes=response[1])}" if response[0] else response[1].decode("ascii"),
        user_key=(user[1].hex() if user[0] else user[1].decode("ascii")) or None,
        issued_at=issued_at,
        expires_at=expires_at,
    )


def _split(body: bytes) -> tuple[tuple[bool, bytes], bytes]:
    """((packed?, content), what follows)."""
    packed = body[0] == _PACKED
    end = 17 if packed else 1 + body[0]
    return (packed, body[1:end]), body[end:]
