"""Settings of the room `ab_testing`."""

from infra.settings.base import Section


class AbTestingSettings(Section):
    """See the fields."""
