"""The specification in force and the candidate beside it, ready for use; and past versions, out of the store."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from infra.settings.ingest import IngestSettings
from infra.settings.rewards import Specification
from ingest.access import audit
from ingest.labels import Labelling
from ingest.specification.document import document_of
from ingest.specification.repository import SpecificationRepository


@dataclass(frozen=True)
class Specifications:
    """Both specifications of a configuration; `candidate` is None unless one is enabled."""

    in_force: Labelling
    candidate: Labelling | None
    documents: tuple[tuple[str, dict[str, Any]], ...]

    @classmethod
    def of(cls, settings: IngestSettings) -> "Specifications":
        """From the settings. Raises UnknownObjective."""
        in_force, documents = Labelling.of(settings), []
        documents.append((in_force.config_hash, document_of(settings)))
        candidate = None
        if settings.candidate_specification.enabled:
            candidate = Labelling.of(settings.candidate_specification)
            documents.append((candidate.config_hash, document_of(settings.candidate_specification)))
        return cls(in_force, candidate, tuple(documents))

    def record(self, connection: Connection, project: str, now: float) -> None:
        """Keep both versions, where they are new; what they override in writing goes into the audit trail."""
        repository = SpecificationRepository(connection, project)
        for config_hash, document in self.documents:
            new, written = repository.record(config_hash, document, now), overrides_of(document)
            if new and written:
                detail = {"config_hash": config_hash, "overrides": written}
                audit.record(connection, "config", "specification.override", detail, project=project, at=now)


def overrides_of(document: dict[str, Any]) -> dict[str, str]:
    """The reasons given for weights that no evidence supports, by objective."""
    given = {name: str(objective.get("override") or "").strip() for name, objective in document["objectives"].items()}
    return {name: reason for name, reason in given.items() if reason}


def labelling_of(document: dict[str, Any]) -> Labelling:
    """A past version made ready again: its own objectives only, whatever defaults have come since."""
    parsed = Specification.model_validate(document)
    own = {name: parsed.objectives[name] for name in document["objectives"]}
    return Labelling.of(parsed.model_copy(update={"objectives": own}))
