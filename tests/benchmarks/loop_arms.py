"""The arms of the closed loop: the product as it is, and with parts of it taken away."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.settings import Settings, load_settings
from plaudit.demo import profile
from plaudit.demo.options import DemoOptions

EXPERIMENT_PEOPLE = 2000
"""At most: .15 -> .20 of answers loved takes about 1,700 people at 80 % power."""
WINDOW_SECONDS = 3600.0
"""What a person does within an hour of an answer becomes its label."""
LATENESS_SECONDS = 60.0


@dataclass(frozen=True)
class Arm:
    """`trust`: whether people are weighed before labels are made; `gate`: whether a refusal counts, and an experiment
    decides; `training`: whose training this arm judges (its own name, or another's whose training is the same)."""

    name: str
    says: str
    training: str
    trust: bool = True
    gate: bool = True
    reward_model: dict[str, Any] = field(default_factory=dict)
    policy_update: dict[str, Any] = field(default_factory=dict)


ARMS = {
    arm.name: arm
    for arm in (
        Arm("full", "the product: trust, huber_bt and heads, several objectives, gate, experiment", "full"),
        Arm("ungated", "the same adapter, given to everybody whatever gate and experiment say", "full", gate=False),
        Arm("no trust", "everybody's vote weighs the same", "no trust", trust=False),
        Arm(
            "plain",
            "what is usual: plain Bradley-Terry on every pair, its score the one reward, no trust, no gate",
            "plain",
            trust=False,
            gate=False,
            reward_model={"loss": "bt"},
            policy_update={"objectives": {"utility": 1.0}},
        ),
    )
}


def settings_of(arm: Arm, seed: int, folder: Path, steps: int) -> Settings:
    """The demo's profile (the same budget for all arms), with windows of an hour and this arm's differences."""
    options = DemoOptions(seed=seed, folder=folder, people_before=300, experiment_people=EXPERIMENT_PEOPLE, steps=steps)
    document = profile.settings_document(options)
    document["project"] = "loop"
    document["model"] = {"threads": 1}
    document["ingest"] |= {"window_seconds": WINDOW_SECONDS, "allowed_lateness_seconds": LATENESS_SECONDS}
    document["reward_model"] |= arm.reward_model
    document["policy_update"] = {**document["policy_update"], **arm.policy_update}
    # Besides: a third beyond the training, and a third of the way back, for a training that walked past the gate.
    document["policy_update"]["candidates"] = {"extrapolations": [0.3, -0.35], "most_challengers": 1}
    # A wave of people every hour and a bit, so that what the last one did has become labels before the next look.
    document["ab_testing"] |= {
        "metric_window_seconds": WINDOW_SECONDS,
        "allowed_lateness_seconds": LATENESS_SECONDS,
        "freshness_seconds": 4 * WINDOW_SECONDS,
        "max_runtime_seconds": 48 * WINDOW_SECONDS,
    }
    document["logging"] = {"level": "error"}
    return load_settings(overrides=document)
