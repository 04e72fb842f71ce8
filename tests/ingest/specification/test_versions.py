"""A weight that is set against the evidence, in writing, is an act that the audit trail keeps: once a version."""

from typing import Any

from infra.runtime import Context
from infra.settings.ingest import IngestSettings
from ingest.access.service import audit_trail
from ingest.specification.versions import Specifications, overrides_of


def test_written_overrides_are_audited_once(context: Context) -> None:
    objectives: dict[str, Any] = {"dwell": {"weight": 1.0, "override": "read by three of us, see the minutes"}}
    specifications = Specifications.of(IngestSettings(objectives=objectives))
    plain = Specifications.of(IngestSettings())
    for one in (plain, specifications, specifications):
        with context.database.transaction() as connection:
            one.record(connection, "default", 1.0)
    of_the_product, entry = audit_trail(context)
    assert "dwell" not in of_the_product.detail["overrides"]
    assert entry.action == "specification.override"
    assert entry.detail["overrides"]["dwell"] == "read by three of us, see the minutes"
    assert entry.detail["config_hash"] == specifications.in_force.config_hash


def test_nothing_written_nothing_overridden() -> None:
    assert overrides_of({"objectives": {"love": {"override": "  "}, "dwell": {}}}) == {}
