"""Experiments: who is in which arm, and the decisions that follow."""

from typing import Literal

import msgspec

Arm = Literal["challenger", "control"]
ExperimentStatus = Literal["running", "promoted", "rolled_back", "stopped"]
DecisionKind = Literal["start", "hold", "ramp", "promote", "rollback", "stop"]


class Phase(msgspec.Struct, frozen=True):
    """One step of the ramp: challenger = buckets [0, share), counted control = [1 - share, 1), share <= 0.5."""

    index: int
    share: float
    started_at: float


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A challenger adapter against the champion. `salt` is new for each challenger; phases only ever grow the share."""

    project: str
    experiment_id: str
    challenger: str
    control: str
    salt: str
    status: ExperimentStatus
    phases: tuple[Phase, ...]
    started_at: float
    ended_at: float | None = None
    config: dict[str, object] = msgspec.field(default_factory=dict)

    @property
    def phase(self) -> Phase:
        return self.phases[-1]


class Assignment(msgspec.Struct, frozen=True):
    """Person -> arm, with the probability it was made with. `arm` None: the champion, uncounted."""

    experiment_id: str
    arm: Arm | None
    adapter: str
    propensity: float
    phase: int


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the append-only ledger. `hash` = SHA-256 of the canonical JSON of all other fields, `previous_hash`
    included, so that no earlier row can change unnoticed. `evidence` holds the numbers behind it."""

    project: str
    sequence: int
    decision_id: str
    experiment_id: str
    kind: DecisionKind
    reason: str
    evidence: dict[str, object]
    config_hash: str
    watermark: float
    decided_at: float
    previous_hash: str
    hash: str
