"""Event ids for what is said under an id of the caller's own: a new one each time, found again by the caller's id.

Each request is a new event, so that what arrives last holds, also when it says again what an earlier one said. A
client's retry makes one more version of the same signal, which changes nothing: the ledger goes by the latest.

The id has the form of a UUIDv7 and 122 bits of its own. The first 58 stand for the caller's id, by which its events are
found when the caller takes it back: a MAC under the deployment secret, so that nobody else can make an event that is
found with them, or take an id before its owner does. Then come 54 bits of time, 1/4096 ms each, and 10 random ones.
"""

import hmac
import uuid

from infra.contracts import uuid7

_LABEL = b"plaudit compatible event id v1"
_FRESH_BITS = 64
_MILLISECOND_BITS = 42
"""Of Unix time: enough until 2109, and then the order of two events of one instant is the only thing to suffer."""


def new_event_id(secret: bytes, product: str, project: str, caller_id: str) -> str:
    """A new event id under an id of the caller's. Those made in one process sort by creation."""
    now = uuid7().int
    milliseconds, sub = (now >> 80) & ((1 << _MILLISECOND_BITS) - 1), (now >> 64) & 0xFFF
    return _event_id(_prefix(secret, product, project, caller_id), milliseconds << 22 | sub << 10 | now & 0x3FF)


def event_id_range(secret: bytes, product: str, project: str, caller_id: str) -> tuple[str, str]:
    """The least and the greatest event id that this id of the caller's can have."""
    prefix = _prefix(secret, product, project, caller_id)
    return _event_id(prefix, 0), _event_id(prefix, (1 << _FRESH_BITS) - 1)


def _prefix(secret: bytes, product: str, project: str, caller_id: str) -> int:
    # A key of its own: user keys are MACs under the secret itself, of texts that callers choose, and are seen.
    key = hmac.digest(secret, _LABEL, "sha256")
    text = f"{product}\0{project}\0{caller_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hmac.digest(key, text, "sha256")[:8]) >> 6


def _event_id(prefix: int, fresh: int) -> str:
    value = prefix << _FRESH_BITS | fresh
    high, low = value >> 62, value & ((1 << 62) - 1)
    return str(uuid.UUID(int=high >> 12 << 80 | 0x7 << 76 | (high & 0xFFF) << 64 | 0b10 << 62 | low))
