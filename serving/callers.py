"""Who sends a request, as its ASGI scope tells, and whether it may ask for what it asks."""

from typing import Any

from starlette.types import Scope

from infra.settings.serving_parts import DuelSettings
from ingest.access.guard import verified_key
from ingest.access.verification import ScopeMissing
from serving import duels
from serving.reception import Caller
from serving.wire import ChatRequest

FORCE_METADATA = "plaudit_force_arm"
FORCE_HEADER = "x-plaudit-force-arm"
"""How a tester asks for an arm (`challenger`) or an adapter (`name@version`); such answers never count."""
_FORCE, _DUELS = FORCE_HEADER.encode(), duels.HEADER.encode()


def caller_of(scope: Scope, chat: ChatRequest, settings: DuelSettings) -> Caller:
    """Raises ScopeMissing for who asks for an arm without being a tester."""
    key = verified_key(scope)
    wanted: dict[bytes, str] = {
        name: value.decode("latin-1") for name, value in scope["headers"] if name in (_FORCE, _DUELS)
    }
    client: Any = scope.get("client")
    name = key.key_id if key is not None else client[0] if client else None
    forced = wanted.get(_FORCE) or chat.metadata.get(FORCE_METADATA)
    if forced and (key is None or not key.allows("admin")):
        raise ScopeMissing(
            f"{FORCE_METADATA} needs an API key with the scope admin, and access.require_keys: without it leave it out",
            field=FORCE_METADATA,
        )
    return Caller(name, forced or None, duels.can_show(wanted.get(_DUELS), chat.metadata, settings))
