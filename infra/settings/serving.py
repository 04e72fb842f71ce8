"""Settings of the room `serving`."""

from infra.settings.base import Section


class ServingSettings(Section):
    """See the fields."""
