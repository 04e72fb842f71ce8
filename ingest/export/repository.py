"""SQL of exports: the labels and pairs as of an instant, their answers, and the exports made."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, func, insert, or_, select, update

from infra.db.tables import exports, interactions, labels, pairs

_AT_ONCE = 500


class ExportRepository:
    """Rows of one project, on one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def labels_as_of(self, instant: float) -> Iterator[RowMapping]:
        """The label that held at `instant` for each answer: the greatest final version made by then, else the
        provisional one if it has not changed since. In the order of response and choice."""
        c = labels.columns
        made = and_(c.project == self._project, c.made_at <= instant)
        newest = select(c.response_id, c.choice, func.max(c.version).label("version")).where(made)
        latest = newest.group_by(c.response_id, c.choice).subquery()
        same = and_(
            c.project == self._project,
            c.response_id == latest.c.response_id,
            c.choice == latest.c.choice,
            c.version == latest.c.version,
        )
        yield from self._rows(select(labels).join(latest, same).order_by(c.response_id, c.choice))

    def pairs_as_of(self, instant: float) -> Iterator[RowMapping]:
        """Pairs made by `instant` and not withdrawn by then, of positive weight, by id."""
        c = pairs.columns
        standing = and_(
            c.project == self._project,
            c.made_at <= instant,
            c.weight > 0.0,
            or_(c.withdrawn_at.is_(None), c.withdrawn_at > instant),
        )
        yield from self._rows(select(pairs).where(standing).order_by(c.pair_id))

    def payloads(self, response_ids: Collection[str]) -> dict[str, bytes]:
        """The msgpack document of each of these interactions that is known."""
        c = interactions.columns
        wanted = sorted(set(response_ids))
        found: dict[str, bytes] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            query = select(c.response_id, c.payload).where(
                c.project == self._project, c.response_id.in_(wanted[start : start + _AT_ONCE])
            )
            found.update({row.response_id: bytes(row.payload) for row in self._connection.execute(query)})
        return found

    def add(self, export_id: str, path: str, manifest: Mapping[str, Any], made_at: float) -> None:
        """Write an export down."""
        self._connection.execute(
            insert(exports).values(
                project=self._project,
                export_id=export_id,
                kind=manifest["kind"],
                format=manifest["format"],
                path=path,
                manifest=dict(manifest),
                as_of=manifest["as_of"],
                made_at=made_at,
            )
        )

    def set_manifest(self, export_id: str, manifest: Mapping[str, Any]) -> None:
        """The manifest after rows were taken out."""
        c = exports.columns
        self._connection.execute(
            update(exports).where(c.project == self._project, c.export_id == export_id).values(manifest=dict(manifest))
        )

    def all(self) -> list[RowMapping]:
        """Every export, oldest first."""
        c = exports.columns
        query = select(exports).where(c.project == self._project).order_by(c.made_at, c.export_id)
        return list(self._connection.execute(query).mappings())

    def _rows(self, query: Any) -> Iterator[RowMapping]:
        yield from self._connection.execution_options(yield_per=5000).execute(query).mappings()
