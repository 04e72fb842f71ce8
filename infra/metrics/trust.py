"""Metrics of trust; part of the catalogue. Read from the store before a scrape: the job has a process of its own."""

from infra.metrics.once_set import OnceSet
from infra.metrics.registry import REGISTRY

TRUST_EFFECTIVE_PEOPLE = OnceSet(
    "plaudit_trust_effective_people",
    "Number of equally heavy people that would teach as concentratedly as those of the newest estimates.",
    registry=REGISTRY,
)
TRUST_TOP_SHARE = OnceSet(
    "plaudit_trust_top_ten_ratio", "Share of all weight that the ten heaviest people have, 0 to 1.", registry=REGISTRY
)
TRUST_QUARANTINED = OnceSet(
    "plaudit_trust_quarantined_people", "People whose votes weigh nothing at present.", registry=REGISTRY
)
