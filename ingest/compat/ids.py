"""Event ids for requests that carry an id of the caller's own, so that the same request sent twice counts once.

The id has the form of a UUIDv7 whose time is 0: 58 bits stand for the caller's id, the last 16 for what was said, so
that another value under the same id is another event, as Langfuse's upserts mean it. All events of one caller's id
share all but the last four digits, by which they are found when the caller takes the id back.
"""

import hashlib
import uuid

_ID_BITS = 58
_CONTENT_BITS = 16


def event_id_of(product: str, project: str, caller_id: str, content: str) -> str:
    """The event id of one statement under one id of the caller's. The same arguments give the same id for ever."""
    value = _bits(f"{product}\0{project}\0{caller_id}", _ID_BITS) << _CONTENT_BITS | _bits(content, _CONTENT_BITS)
    high, low = value >> 62, value & ((1 << 62) - 1)
    return str(uuid.UUID(int=0x7 << 76 | high << 64 | 0b10 << 62 | low))


def event_id_range(product: str, project: str, caller_id: str) -> tuple[str, str]:
    """The least and the greatest event id that this id of the caller's can have."""
    prefix = event_id_of(product, project, caller_id, "")[:-4]
    return f"{prefix}0000", f"{prefix}ffff"


def _bits(text: str, count: int) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - count)
