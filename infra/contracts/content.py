"""What a prompt with its answer is called where its text is not kept."""

import hashlib
from collections.abc import Iterable

import msgspec

from infra.contracts.interactions import Message


def content_key(messages: Iterable[Message], text: str) -> str:
    """32 hex digits, equal for equal prompt and answer, letter by letter: BLAKE2b-128 of their JSON."""
    content = msgspec.json.encode([[(message.role, message.content) for message in messages], text])
    return hashlib.blake2b(content, digest_size=16).hexdigest()
