"""Any set of final labels as of a past instant, made again from the ledger, bit for bit.

Nothing is looked up in `labels`: each label is computed anew from the events it counted then, the specification, the
models and the weights of then. Rows that are gone, erased or expired, are named; their labels are left out.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Connection

from infra.contracts import Label, PlauditError
from ingest.basis_repository import BasisRepository, StoredBasis
from ingest.dwell.repository import DwellRepository
from ingest.erasure.tombstones import erased, erased_responses
from ingest.final_labels import Basis, final_label, voters_of
from ingest.labels import InteractionFacts, Labelling
from ingest.ledger import Version, surviving
from ingest.objectives import Reading
from ingest.repository import FeedbackRepository
from ingest.specification.repository import SpecificationRepository
from ingest.specification.versions import labelling_of

AT_ONCE = 1000
"""Labels made again between two looks at the store."""


class InvalidInstant(PlauditError):
    """A past instant that cannot be read."""

    code = "invalid_instant"
    status = 422


Reason = Literal["erased", "expired"]


class UnknownVersion(PlauditError):
    """A label names a specification or model the store does not have."""

    code = "unknown_version"
    status = 500


@dataclass(frozen=True)
class Missing:
    """A label that was in the set and cannot be made again: which, why, and how many of its events are gone."""

    response_id: str
    choice: int
    version: int
    reason: Reason
    events_gone: int


@dataclass
class LabelSet:
    """The newest final label of each answer as of `as_of` (Unix seconds), sorted by answer, and what is missing."""

    as_of: float
    labels: list[Label] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)


def labels_as_of(connection: Connection, project: str, as_of: float) -> LabelSet:
    """Make the final labels of `project` again as they stood at `as_of`. Raises UnknownVersion."""
    made = LabelSet(as_of)
    rebuilding = _Rebuilding(connection, project)
    for bases in BasisRepository(connection, project).newest_as_of(as_of, AT_ONCE):
        rebuilding.add(bases, made)
    return made


class _Rebuilding:
    """Rebuilds within one transaction; specifications and models are read once."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project
        self._ledger = FeedbackRepository(connection, project)
        self._specifications = {
            version.config_hash: labelling_of(version.document)
            for version in SpecificationRepository(connection, project).versions()
        }
        self._readings: dict[int, Reading] = {}

    def add(self, bases: Sequence[StoredBasis], made: LabelSet) -> None:
        """Make these labels again, or name them."""
        wanted = {basis.response_id for basis in bases}
        versions, facts = self._ledger.versions(wanted), self._ledger.facts(wanted)
        ledgers = {
            basis: [v for v in versions.get(basis.response_id, ()) if v.event_id in basis.seen] for basis in bases
        }
        gone = {basis: basis.seen - {v.event_id for v in ledger} for basis, ledger in ledgers.items()}
        lost = {basis for basis in bases if gone[basis] or (basis.document.known and basis.response_id not in facts)}
        reasons = self._reasons(lost, gone)
        for basis in bases:
            if basis in lost:
                made.missing.append(
                    Missing(basis.response_id, basis.choice, basis.version, reasons[basis], len(gone[basis]))
                )
            else:
                fact = facts.get(basis.response_id) if basis.document.known else None
                made.labels.append(self._label(basis, ledgers[basis], fact))

    def _label(self, stored: StoredBasis, ledger: Sequence[Version], facts: InteractionFacts | None) -> Label:
        document = stored.document
        voters = voters_of(surviving(ledger, facts.user_key if facts else None))
        trust = dict(zip((voter.key for voter in voters), document.trust, strict=True)) if document.trust else {}
        basis = Basis(
            open=frozenset(document.open),
            refused=frozenset(document.refused),
            trust=trust,
            propensity=document.propensity,
            reading=self._reading(document.dwell_model),
            characters_per_token=document.characters_per_token,
        )
        return final_label(
            self._project,
            (stored.response_id, stored.choice),
            ledger,
            facts,
            self._labelling(stored.config_hash),
            basis,
            version=stored.version,
            made_at=stored.made_at,
            window_closes_at=stored.window_closes_at,
        )

    def _labelling(self, config_hash: str) -> Labelling:
        if config_hash not in self._specifications:
            raise UnknownVersion(
                f"labels were made by specification {config_hash}, which the store does not have; restore its row in "
                "`reward_specifications` from a backup",
                field="config_hash",
            )
        return self._specifications[config_hash]

    def _reading(self, version: int | None) -> Reading | None:
        if version is None:
            return None
        if version not in self._readings:
            self._readings[version] = DwellRepository(self._connection, self._project).model(version)
        return self._readings[version]

    def _reasons(
        self, lost: Collection[StoredBasis], gone: Mapping[StoredBasis, frozenset[str]]
    ) -> dict[StoredBasis, Reason]:
        """Erased where a tombstone stands for the answer or one of the events, else expired."""
        if not lost:
            return {}
        events = erased(self._connection, self._project, {one for basis in lost for one in gone[basis]})
        answers = erased_responses(self._connection, self._project, {basis.response_id for basis in lost})
        return {
            basis: "erased" if basis.response_id in answers or gone[basis] & events else "expired" for basis in lost
        }
