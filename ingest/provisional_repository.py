"""SQL of provisional labels as the consumer writes them: in the transaction of the events that make them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import text

from infra.db import upsert_many
from infra.db.tables.feedback import labels
from ingest.by_ids_repository import ByIdsRepository
from ingest.provisional import PROVISIONAL_COLUMNS, LabelRow, Said
from ingest.standing import NOTHING, VOTER_AT, Standing, standing_of

_STANDING = "response_id, choice, heard, user_key"
_SAID = ("objective_values", "weights", "events_counted", "heard")
_MOVE = text(
    f"UPDATE labels SET {', '.join(f'{name} = :{name}' for name in (*_SAID, 'made_at'))} WHERE project = :project"  # noqa: S608
    " AND response_id IN (SELECT value FROM json_each(:ids)) AND choice = :choice AND version = 0"
)
Heard = tuple[Said, int, list[str]]
"""(what labels say, choice, responses)."""


class ProvisionalRepository(ByIdsRepository):
    """Provisional labels of one project, on one connection."""

    def standing(self, response_ids: Iterable[str], config_hash: str) -> Standing:
        """The provisional labels by this specification that can hear more without the ledger (`ingest.standing`).

        None on PostgreSQL: there a label job may take a label between this look and the commit, and whatever comes has
        to be written; and the server, not this process, does the reading of the ledger.
        """
        if not self._sqlite:
            return {}
        more = f"AND version = 0 AND heard > {NOTHING} AND config_hash = :config_hash"
        rows = self._by_ids("labels", "response_id", _STANDING, response_ids, more, config_hash=config_hash)
        return standing_of(rows)

    def put_provisional(self, rows: Sequence[LabelRow], config_hash: str, *, windows_stand: bool) -> None:
        """Write labels made by `ingest.provisional`; what says nothing new is left alone, `made_at` included.

        `windows_stand`: the interactions are known, so labels that are there have the right window already. Leaving it
        out halves the cost of an update: the index of open windows is not touched. (Where the settings were changed
        meanwhile, an open window keeps its end.)
        """
        window = () if windows_stand else ("window_closes_at",)
        shared = {"project": self._project, "version": 0, "status": "provisional", "config_hash": config_hash}
        self._put_provisional(PROVISIONAL_COLUMNS, rows, shared, window)

    def put_heard(
        self,
        groups: Iterable[Heard],
        closings: Mapping[str, float],
        standing: Standing,
        made_at: float,
        config_hash: str,
    ) -> None:
        """As `put_provisional` where windows stand, for labels of which many say the same."""
        if not self._sqlite:  # one COPY of everything is cheaper there
            whole = [
                (response, choice, *said, made_at, closings[response], standing[response, choice][VOTER_AT])
                for said, choice, responses in groups
                for response in responses
            ]
            self.put_provisional(whole, config_hash, windows_stand=True)
            return
        for said, choice, responses in groups:
            shared = {
                "project": self._project, "version": 0, "status": "provisional", "config_hash": config_hash,
                "choice": choice, **dict(zip(_SAID, said, strict=True)),
            }  # fmt: skip
            rows = [
                (response, made_at, closings[response], standing[response, choice][VOTER_AT]) for response in responses
            ]
            self._put_provisional(("response_id", "made_at", "window_closes_at", "user_key"), rows, shared, ())

    def move_heard(self, groups: Iterable[Heard], made_at: float) -> None:
        """Write what labels say now that stand (`standing`, in this transaction). On SQLite only, as that is."""
        for said, choice, responses in groups:
            parameters = {
                **dict(zip(_SAID, said, strict=True)), "made_at": made_at, "project": self._project, "choice": choice,
                "ids": self._list(responses),
            }  # fmt: skip
            self._connection.execute(_MOVE, parameters)

    def _put_provisional(
        self, columns: Sequence[str], rows: Sequence[LabelRow], shared: Mapping[str, Any], window: Sequence[str]
    ) -> None:
        changed = ("objective_values", "events_counted", "config_hash", "heard")
        upsert_many(
            self._connection,
            labels,
            columns,
            rows,
            update=(*changed, "weights", "made_at", "user_key", *window),
            if_changed=(*changed, *window),
            json_encoded=True,
            shared=shared,
        )
