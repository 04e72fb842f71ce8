"""Labels: the reward vector of one answer, and preference pairs between two answers to one prompt."""

from typing import Literal

import msgspec

LabelStatus = Literal["provisional", "final"]

OBJECTIVES: tuple[str, ...] = ("love", "sentiment", "dwell", "reuse", "share", "harm")
"""The objectives every deployment has; `harm` is a constraint, the others may be terms of the policy objective.

love = like given that the answer was shown (silence at close is 0); sentiment = like against dislike among voters;
dwell = reading time squashed to [0, 1]; reuse = reopened, copied or built on; share; harm = reports, strong dislikes.
"""


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """The reward vector of one answer.

    `values[objective]` is in [0, 1] or None when the objective says nothing about this answer; `weights[objective]`
    >= 0 is how much it counts. Provisional (version 0, updated in place) from the first event on; final (version >= 1,
    append-only) when its window closes; remade as a new version when later events arrive. The store keeps of a
    provisional label only the objectives that have a value: one that is missing has None, and weighs 0.
    """

    project: str
    response_id: str
    choice: int
    version: int
    status: LabelStatus
    values: dict[str, float | None]
    weights: dict[str, float]
    made_at: float
    window_closes_at: float
    events_counted: int = 0
    config_hash: str = ""


class PreferencePair(msgspec.Struct, frozen=True, kw_only=True):
    """Two answers to the same prompt, one preferred. `source` is regenerate, edit or duel; `weight` >= 0."""

    project: str
    pair_id: str
    preferred_response_id: str
    preferred_choice: int
    other_response_id: str
    other_choice: int
    source: str
    made_at: float
    user_key: str | None = None
    weight: float = 1.0
