"""The chain of updates from the base to the champion, and when it is time to begin again at the base. Pure.

Each update is held to its champion by a KL budget, but drift adds up: after some updates, or when the champion has come
too far from the base, the next cycle trains the base anew (contract 9). What people taught is not lost: it stands in
the reward model, not in the adapter.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def kl_to_base(gate: Mapping[str, Any]) -> float:
    """Nats a token between an adapter and the base as its gate measured them; NaN where it did not."""
    for check in gate.get("checks", ()):
        if check.get("name") == "kl_to_base":
            return float(check.get("value", math.nan))
    return math.nan


def reason_to_reset(chain: Sequence[Mapping[Any, Any]], every: int, kl_limit: float) -> str:
    """Why the next update begins at the base, or "". `chain`: rows of the champion and what it was trained on top of,
    newest first; empty while the base is the champion. `every` 0: never by number."""
    if not chain:
        return ""
    if every and len(chain) >= every:
        return f"{len(chain)} updates on top of one another (retrain_from_base_every = {every})"
    distance = kl_to_base(chain[0]["gate"])
    if distance >= kl_limit:
        return f"the champion is {distance:.3f} nats a token from the base (retrain_kl_to_base = {kl_limit:g})"
    return ""
