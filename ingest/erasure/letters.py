"""Whether raw bytes speak of an erased person: dead letters and records that no decoder reads."""

import json
import re
from collections.abc import Collection

from ingest.erasure.mentions import ids_in
from ingest.erasure.tombstones import USER_KEY_TOKEN, UUID, person_digest

_OURS = re.compile(rb"(?:[a-z]*-)?(" + UUID.pattern + rb")")


class Needles:
    """What to look for: user keys and raw ids as bytes, digests of user keys, ids of events and responses.

    Ids that are UUIDs, whatever stands before them, are found anywhere. Of the others only whole words count: `now-10`
    says nothing of `now-1`.
    """

    def __init__(
        self, project: str, literal: Collection[bytes] = (), digests: Collection[str] = (), ids: Collection[str] = ()
    ) -> None:
        self._project = project
        self._literal = tuple(literal)
        self._digests = frozenset(digests)
        found = {item: _OURS.fullmatch(item.encode()) for item in ids}
        self._uuids = frozenset(match.group(1) for match in found.values() if match)
        self._others = frozenset(item for item, match in found.items() if not match)

    def found_in(self, raw: bytes) -> bool:
        """Whether any of them stands in these bytes."""
        if any(literal in raw for literal in self._literal):
            return True
        if self._others and not self._others.isdisjoint(ids_in(raw)):
            return True
        if self._uuids and not self._uuids.isdisjoint(UUID.findall(raw)):
            return True
        return bool(self._digests) and any(
            person_digest(self._project, key.decode()) in self._digests for key in USER_KEY_TOKEN.findall(raw)
        )


def literals(keys: Collection[str], raw_id: str | None) -> list[bytes]:
    """Bytes that stand for the person: the keys as they are, the raw id as a JSON string (`7` alone is everywhere)."""

    found = [key.encode() for key in keys]
    if raw_id is not None:
        found += [json.dumps(raw_id).encode(), json.dumps(raw_id, ensure_ascii=False).encode()]
    return list(dict.fromkeys(found))
