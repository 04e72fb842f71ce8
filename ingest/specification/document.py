"""A reward specification as a document: what makes labels and pairs. Its hash stands on every label."""

import hashlib
from typing import Any

import msgspec

from infra.settings.rewards import Specification

FIELDS = frozenset({"objectives", "window_seconds", "duel_weight", "regenerate_weight"})
"""What of the settings belongs to the specification."""


def document_of(settings: Specification) -> dict[str, Any]:
    """The document of `settings`: JSON types only."""
    return settings.model_dump(mode="json", include=set(FIELDS))


def document_hash(document: dict[str, Any]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the document as JSON with sorted keys: enough to tell the few
    specifications of a deployment apart, and every label carries it."""
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()[:16]
