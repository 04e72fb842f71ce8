"""Experiments: who is in which arm, and the decisions that follow."""

from typing import Literal

import msgspec

Arm = str
"""`control`, `challenger`, or for further candidates beside it `challenger-2`, `challenger-3`, ...: see `arm_of`."""
ExperimentKind = Literal["challenge", "holdback", "sentinel"]
"""`challenge`: a challenger against the champion. `holdback`: the newly promoted champion (the challenger arm) against
the one before (the control), with everybody who is not counted on the new one. `sentinel`: the champion against
itself, which must never show anything."""
ExperimentStatus = Literal["running", "promoted", "rolled_back", "stopped"]
DecisionKind = Literal["start", "hold", "ramp", "drop", "promote", "rollback", "stop", "pause", "resume", "abort"]
"""`drop`: one of several candidates leaves, the others stay. `pause`, `resume`, `abort`: a person's word."""


class Phase(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of the ramp, share <= 0.5 / candidates: of k candidates the i-th (from 0) has the buckets
    [i / 2k, i / 2k + share), the counted control [1 - share, 1). So a growing ramp moves nobody who was counted.

    `shares`: of every candidate, where they differ; each at most 0.5 / candidates and never less than it was.
    """

    index: int
    share: float
    started_at: float
    shares: tuple[float, ...] = ()

    def share_of(self, candidate: int) -> float:
        """Share of the candidate at this place, from 0."""
        return self.shares[candidate] if self.shares else self.share


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A challenger adapter against the champion. `salt` is new for each challenger; phases only ever grow the share.

    `others` are further candidates at the same time, each with an arm as large as the challenger's. `slot` is the part
    of the project's people, a range of buckets in [0, 1), that this experiment draws on: experiments with disjoint
    slots exclude each other. While `paused_at` is set (Unix seconds) nothing but harm changes anything.
    """

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
    kind: ExperimentKind = "challenge"
    others: tuple[str, ...] = ()
    slot: tuple[float, float] = (0.0, 1.0)
    paused_at: float | None = None

    @property
    def phase(self) -> Phase:
        """The newest step of the ramp."""
        return self.phases[-1]

    @property
    def candidates(self) -> tuple[str, ...]:
        """Every adapter that is tried: the challenger and the others."""
        return (self.challenger, *self.others)

    @property
    def arms(self) -> dict[Arm, str]:
        """Arm -> adapter, candidates first."""
        named = {arm_of(index): adapter for index, adapter in enumerate(self.candidates)}
        return {**named, "control": self.control}

    @property
    def dropped(self) -> tuple[Arm, ...]:
        """Arms of candidates that have left: their people get the champion, uncounted."""
        found = self.config.get("dropped", ())
        return tuple(str(arm) for arm in found) if isinstance(found, list | tuple) else ()

    @property
    def remaining(self) -> dict[Arm, str]:
        """Arm -> adapter of the candidates that are still tried."""
        return {arm: ref for arm, ref in self.arms.items() if arm != "control" and arm not in self.dropped}

    @property
    def uncounted(self) -> str:
        """The adapter of people of no arm: the champion."""
        return self.challenger if self.kind == "holdback" else self.control


def arm_of(index: int) -> Arm:
    """The arm of candidate `index`, counted from 0: `challenger`, then `challenger-2` and so on."""
    return "challenger" if index == 0 else f"challenger-{index + 1}"


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
