"""Receipts of erasures: what was done, in numbers, signed, without a word about whom.

The signature is HMAC-SHA256 over the canonical JSON of everything else, under a key derived from the deployment's user
secret: the deployment can prove that a receipt is its own, also after the secret was rotated.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from infra.contracts import PlauditError
from ingest.access.audit import canonical

_PURPOSE = b"plaudit erasure receipt"


class InvalidReceipt(PlauditError):
    """No receipt of this deployment, or one that was changed."""

    code = "invalid_receipt"
    status = 422


def sign(document: Mapping[str, Any], secret: bytes) -> dict[str, Any]:
    """The document with `signature` (hex)."""
    plain = {name: value for name, value in document.items() if name != "signature"}
    return {**plain, "signature": _signature(plain, secret)}


def is_ours(document: Mapping[str, Any], secrets: Iterable[bytes]) -> bool:
    """Whether a receipt was signed under one of these secrets and says today what it said then."""
    plain = {name: value for name, value in document.items() if name != "signature"}
    given = str(document.get("signature", ""))
    return any(hmac.compare_digest(_signature(plain, secret), given) for secret in secrets)


def _signature(plain: Mapping[str, Any], secret: bytes) -> str:
    derived = hmac.new(secret, _PURPOSE, hashlib.sha256).digest()
    return hmac.new(derived, canonical(dict(plain)).encode(), hashlib.sha256).hexdigest()


def read_receipt(path: Path, secrets: Iterable[bytes]) -> dict[str, Any]:
    """A receipt out of a file, verified. Raises InvalidReceipt."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidReceipt(f"{path} cannot be read as a receipt: {error}", field="verify") from None
    if not isinstance(document, dict) or not is_ours(document, secrets):
        raise InvalidReceipt(
            f"{path} was not signed by this deployment, or was changed since; if the secret was rotated, name the "
            "former ones in previous_user_key_secrets",
            field="verify",
        )
    return document
