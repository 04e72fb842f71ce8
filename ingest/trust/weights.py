"""The one question others ask about trust: how much do these people's votes weigh, now or as of an instant?"""

from collections.abc import Collection

from sqlalchemy import Connection

from ingest.trust.repository import TrustRepository

PRIOR_WEIGHT = 1.0
"""Weight of a person about whom nothing is estimated, unless the setting `trust.prior_weight` is handed in."""


def voter_weights(
    connection: Connection,
    project: str,
    user_keys: Collection[str],
    as_of: float | None = None,
    *,
    prior_weight: float = PRIOR_WEIGHT,
) -> dict[str, float]:
    """Weight in [0, 1] of every one of `user_keys`: the newest estimate at or before `as_of` (None: the newest),
    `prior_weight` for whoever has none, 0.0 for people in quarantine.

    The empty key stands for votes without a person and always has the prior weight.
    """
    known = TrustRepository(connection, project).weights(user_keys, as_of)
    return {user_key: known.get(user_key, prior_weight) for user_key in user_keys}
