"""Settings of the room `reward_model`."""

from infra.settings.base import Section


class RewardModelSettings(Section):
    """See the fields."""
