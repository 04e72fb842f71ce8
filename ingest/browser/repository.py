"""SQL of the uses of feedback tokens: one row a token, from its first use until it expires."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, select, update

from infra.db import Dialect, insert_ignore
from infra.db.tables.tokens import token_uses

_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Use:
    """What is known of a token: the hash of the nonce it is bound to, events let in, digests of those durable."""

    nonce_hash: bytes
    reserved: int
    seen: frozenset[bytes]


class TokenRepository:
    """Uses of the tokens of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._dialect: Dialect = "sqlite" if connection.dialect.name == "sqlite" else "postgresql"
        self._project = project

    def use(self, token_id: str, nonce_hash: bytes, expires_at: float) -> Use:
        """The use of a token, begun with this nonce if it is the first one. Locks the row until the commit."""
        row = {
            "project": self._project,
            "token_id": token_id,
            "nonce_hash": nonce_hash,
            "reserved": 0,
            "seen": b"",
            "expires_at": expires_at,
        }
        self._connection.execute(insert_ignore(token_uses, self._dialect).values(row))
        columns = token_uses.columns
        statement = select(columns.nonce_hash, columns.reserved, columns.seen).where(*self._is(token_id))
        found = self._connection.execute(statement.with_for_update()).one()
        return Use(bytes(found[0]), int(found[1]), _split(bytes(found[2])))

    def reserve(self, token_id: str, events: int) -> None:
        """Count events that go to the log now; a negative number gives back those that did not get there."""
        columns = token_uses.columns
        counted = update(token_uses).where(*self._is(token_id)).values(reserved=columns.reserved + events)
        self._connection.execute(counted)

    def remember(self, token_id: str, digests: Iterable[bytes]) -> None:
        """Add digests of events that are durable now."""
        columns = token_uses.columns
        found = self._connection.execute(select(columns.seen).where(*self._is(token_id)).with_for_update()).scalar()
        if found is None:
            return  # expired and swept away meanwhile
        seen = _split(bytes(found)) | set(digests)
        statement = update(token_uses).where(*self._is(token_id)).values(seen=b"".join(sorted(seen)))
        self._connection.execute(statement)

    def sweep(self, now: float) -> int:
        """Forget tokens that have expired; returns how many."""
        columns = token_uses.columns
        gone = delete(token_uses).where(columns.project == self._project, columns.expires_at <= now)
        return self._connection.execute(gone).rowcount

    def _is(self, token_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return token_uses.columns.project == self._project, token_uses.columns.token_id == token_id


def _split(seen: bytes) -> frozenset[bytes]:
    return frozenset(seen[i : i + _DIGEST_BYTES] for i in range(0, len(seen), _DIGEST_BYTES))
