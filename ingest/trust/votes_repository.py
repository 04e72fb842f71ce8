"""SQL of what trust is estimated from: recent signals, whose answers they are about, what these answers say."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from infra.contracts import Message
from ingest.ledger import Version
from ingest.trust.gathering import Answer, Text

_VERSION_COLUMNS = ", ".join(Version._fields)


class _AnswerText(msgspec.Struct):
    choice: int
    text: str


class _Texts(msgspec.Struct):
    messages: list[Message]
    answers: list[_AnswerText]


_decode = msgspec.msgpack.Decoder(_Texts).decode


class VotesRepository:
    """Rows of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project
        self._sqlite = connection.dialect.name == "sqlite"

    def ledgers(self, since: float, until: float, most: int) -> dict[str, list[Version]]:
        """Versions by response id of every signal but `shown`, derived from `since` on and received up to `until`; of
        more than `most`, the newest. Reads the whole ledger once: it has no index by time on purpose."""
        rows = self._connection.execute(
            text(
                f"SELECT response_id, {_VERSION_COLUMNS} FROM feedback_events"  # noqa: S608
                " WHERE project = :project AND signal <> 'shown' AND derived_at >= :since AND received_at <= :until"
                " ORDER BY derived_at DESC, event_id DESC LIMIT :most"
            ),
            {"project": self._project, "since": since, "until": until, "most": most},
        )
        found: dict[str, list[Version]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(Version._make(row[1:]))
        return found

    def enough(self, since: float, until: float, wanted: int) -> int:
        """How many events say an opinion in that time, counted up to `wanted`."""
        row = self._connection.execute(
            text(
                "SELECT COUNT(*) FROM (SELECT 1 AS one FROM feedback_events WHERE project = :project"
                " AND signal IN ('like', 'dislike', 'rating', 'duel') AND operation = 'set'"
                " AND derived_at >= :since AND received_at <= :until LIMIT :wanted) AS found"
            ),
            {"project": self._project, "since": since, "until": until, "wanted": wanted},
        )
        return int(row.scalar() or 0)

    def owners(self, response_ids: Iterable[str]) -> dict[str, str | None]:
        """The user key of every interaction known."""
        return {row[0]: row[1] for row in self._interactions(response_ids, "response_id, user_key")}

    def texts(self, response_ids: Iterable[str]) -> dict[Answer, Text]:
        """The last question and the answer of every answer known."""
        found: dict[Answer, Text] = {}
        for response_id, payload in self._interactions(response_ids, "response_id, payload"):
            item = _decode(bytes(payload))
            prompt = next((m.content for m in reversed(item.messages) if m.role == "user"), "")
            for answer in item.answers:
                found[response_id, answer.choice] = Text(prompt, answer.text)
        return found

    def _interactions(self, response_ids: Iterable[str], columns: str) -> Iterable[Any]:
        wanted = sorted(set(response_ids))
        if not wanted:
            return []
        some = "IN (SELECT value FROM json_each(:ids))" if self._sqlite else "= ANY(:ids)"
        statement = f"SELECT {columns} FROM interactions WHERE project = :project AND response_id {some}"  # noqa: S608
        ids = json.dumps(wanted) if self._sqlite else wanted
        return self._connection.execute(text(statement), {"project": self._project, "ids": ids})
