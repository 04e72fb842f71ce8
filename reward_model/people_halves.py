"""Two disjoint halves of the people, for cross-fitting: who is in which is a property of the person alone. Pure.

A model trained on one half never saw an opinion of the other half's people, so a policy trained against the one can be
gated by the other. A stable hash decides, not a draw: the halves are the same in every training, on every machine, and
do not change when people come or go.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SALT = "people-halves"


def half_of(user_key: str | None, conversation_id: str, salt: str = SALT) -> int:
    """0 or 1: the half of this person; without a person, of the conversation. Each has probability 1/2 over names."""
    name = f"person\0{user_key}" if user_key else f"conversation\0{conversation_id}"
    return hashlib.blake2b(f"{salt}\0{name}".encode(), digest_size=8).digest()[0] & 1


def halves(people: Sequence[str | None], conversations: Sequence[str], salt: str = SALT) -> NDArray[np.int64]:
    """[N] in {0, 1}: `half_of` each row. Raises ValueError unless both have N rows."""
    found = [half_of(*row, salt) for row in zip(people, conversations, strict=True)]
    return np.array(found, np.int64).reshape(-1)
