"""Settings of the room `ingest`."""

from infra.settings.base import Section


class IngestSettings(Section):
    """See the fields."""
