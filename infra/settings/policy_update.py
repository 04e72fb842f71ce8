"""Settings of the room `policy_update`."""

from infra.settings.base import Section


class PolicyUpdateSettings(Section):
    """See the fields."""
