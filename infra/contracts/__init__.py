"""The types every room speaks in: frozen, validated, free of I/O.

Rooms never import each other sideways; they meet in these types, in rows of the store and in messages on the log.
"""

from infra.contracts.adapters import BASE_ADAPTER, AdapterRef, AdapterState, AdapterVersion, Fingerprint
from infra.contracts.clock import Clock, ManualClock, SystemClock
from infra.contracts.errors import PlauditError
from infra.contracts.experiments import (
    Arm,
    Assignment,
    Decision,
    DecisionKind,
    Experiment,
    ExperimentKind,
    ExperimentStatus,
    Phase,
    arm_of,
)
from infra.contracts.feedback import Device, FeedbackEvent, Operation, Signal
from infra.contracts.ids import new_response_id, stable_hash, stable_hashes, user_key_of, user_keys, uuid7
from infra.contracts.interactions import (
    Answer,
    DuelSide,
    HoneypotShown,
    Interaction,
    Message,
    SamplingParameters,
)
from infra.contracts.labels import OBJECTIVES, Label, LabelStatus, PreferencePair

__all__ = [
    "BASE_ADAPTER",
    "OBJECTIVES",
    "AdapterRef",
    "AdapterState",
    "AdapterVersion",
    "Answer",
    "Arm",
    "Assignment",
    "Clock",
    "Decision",
    "DecisionKind",
    "Device",
    "DuelSide",
    "Experiment",
    "ExperimentKind",
    "ExperimentStatus",
    "FeedbackEvent",
    "Fingerprint",
    "HoneypotShown",
    "Interaction",
    "Label",
    "LabelStatus",
    "ManualClock",
    "Message",
    "Operation",
    "Phase",
    "PlauditError",
    "PreferencePair",
    "SamplingParameters",
    "Signal",
    "SystemClock",
    "arm_of",
    "new_response_id",
    "stable_hash",
    "stable_hashes",
    "user_key_of",
    "user_keys",
    "uuid7",
]
