"""SQL of `label_bases`: what each version of a final label was made from."""

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, func, select

from infra.contracts import Label
from infra.db import insert_ignore_many
from infra.db.tables import label_bases
from ingest.ledger import Version

_COLUMNS = tuple(column.name for column in label_bases.columns)
_ID_BYTES = 16


class BasisDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a final label rests on, as the store keeps it: no keys of people. `trust` by voter, in the order of their
    keys; empty: 1 for everybody. `known`: whether the interaction was in the store."""

    known: bool = True
    open: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    trust: tuple[float, ...] = ()
    propensity: float = 1.0
    dwell_model: int | None = None
    selection_model: int | None = None
    characters_per_token: float = 4.0


class StoredBasis(msgspec.Struct, frozen=True, eq=False):
    """One row: which label, what it rests on, and the ids of the events it counts."""

    response_id: str
    choice: int
    version: int
    config_hash: str
    made_at: float
    window_closes_at: float
    document: BasisDocument
    seen: frozenset[str]


class BasisRepository:
    """Rows of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def put(self, rows: Iterable[tuple[Label, BasisDocument, Sequence[Version]]]) -> None:
        """Write down what these labels were made from."""
        insert_ignore_many(
            self._connection,
            label_bases,
            _COLUMNS,
            [self._row(label, document, seen) for label, document, seen in rows],
        )

    def newest_versions(self, response_ids: Collection[str]) -> dict[tuple[str, int], int]:
        """The greatest version each answer of these responses ever had, though its label may have been erased since."""
        c = label_bases.c
        rows = self._connection.execute(
            select(c.labelled_response_id, c.choice, func.max(c.version))
            .where(c.project == self._project, c.labelled_response_id.in_(sorted(response_ids)))
            .group_by(c.labelled_response_id, c.choice)
        )
        return {(row[0], row[1]): row[2] for row in rows}

    def newest_as_of(self, as_of: float, at_once: int) -> Iterator[list[StoredBasis]]:
        """The newest version of each answer made at or before `as_of`, by answer, in lists of `at_once`."""
        c = label_bases.c
        newest = (
            select(c.labelled_response_id, c.choice, func.max(c.version).label("version"))
            .where(c.project == self._project, c.made_at <= as_of)
            .group_by(c.labelled_response_id, c.choice)
            .subquery()
        )
        same = and_(
            c.labelled_response_id == newest.c.labelled_response_id,
            c.choice == newest.c.choice,
            c.version == newest.c.version,
        )
        rows = self._connection.execute(
            select(label_bases)
            .join(newest, same)
            .where(c.project == self._project)
            .order_by(c.labelled_response_id, c.choice)
        ).all()
        for start in range(0, len(rows), at_once):
            yield [_stored(row) for row in rows[start : start + at_once]]

    def _row(self, label: Label, document: BasisDocument, seen: Collection[Version]) -> tuple[Any, ...]:
        return (
            self._project,
            label.response_id,
            label.choice,
            label.version,
            label.config_hash,
            label.made_at,
            label.window_closes_at,
            msgspec.to_builtins(document),
            b"".join(sorted(uuid.UUID(version.event_id).bytes for version in seen)),
        )


def _stored(row: Any) -> StoredBasis:
    packed = bytes(row.seen)
    ids = (packed[start : start + _ID_BYTES] for start in range(0, len(packed), _ID_BYTES))
    return StoredBasis(
        row.labelled_response_id,
        row.choice,
        row.version,
        row.config_hash,
        row.made_at,
        row.window_closes_at,
        msgspec.convert(row.basis, BasisDocument),
        frozenset(str(uuid.UUID(bytes=one)) for one in ids),
    )
