"""What stops a run: errors where nothing is worth keeping, and reasons to end on the last weights that were well.

Each message says what was seen and which setting to change.
"""

import math
from collections.abc import Sequence

from infra.contracts import PlauditError
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.records import StepRecord

FIRST_STEPS = 3
"""Steps whose mean length later ones are held against."""


class NothingTrained(PlauditError):
    """The run would have produced an adapter equal to the one it started from."""

    code = "nothing_trained"


class TrainingDiverged(PlauditError):
    """A number that training rests on is not finite: no adapter comes out of this run."""

    code = "training_diverged"


def demand_finite(step: int, **values: float) -> None:
    """Raises TrainingDiverged naming the first value that is NaN or infinite."""
    remedies = {
        "reward": "a reward function returned no number for any answer: mend it, or leave its objective out of "
        "policy_update.objectives",
        "loss": "the weights gave log-probabilities that are no numbers: lower policy_update.learning_rate, or train "
        "in float32 (model.dtype)",
        "kl": "a token that the policy drew has no probability under the champion or the base: train in float32 "
        "(model.dtype)",
        "gradient": "lower policy_update.learning_rate, or train in float32 (model.dtype)",
    }
    for name, value in values.items():
        if not math.isfinite(value):
            raise TrainingDiverged(f"step {step + 1}: the {name} is {value}: {remedies[name]}", field=name)


def reason_to_stop(record: StepRecord, history: Sequence[StepRecord], settings: PolicyUpdateSettings) -> str | None:
    """Why the weights that drew this step's answers must not be gone on from, or None. `history`: the steps before."""
    if record.entropy < settings.entropy_floor:
        return (
            f"entropy collapsed to {record.entropy:.3f} nats a token (floor {settings.entropy_floor}) at step "
            f"{record.step + 1}: raise policy_update.kl_coefficient or temperature, or lower learning_rate"
        )
    if record.kl_base > settings.kl_base_budget:
        return (
            f"the chain of updates is {record.kl_base:.3f} nats a token from the base (policy_update.kl_base_budget "
            f"{settings.kl_base_budget}) at step {record.step + 1}: retrain from the base, or raise the budget"
        )
    first = [past.mean_length for past in history[:FIRST_STEPS]]
    if len(first) == FIRST_STEPS:
        usual = sum(first) / FIRST_STEPS
        if record.mean_length > settings.length_runaway * usual:
            return (
                f"answers grew to {record.mean_length:.1f} tokens from {usual:.1f} (policy_update.length_runaway "
                f"{settings.length_runaway}) at step {record.step + 1}: the reward pays for length; take its part out "
                "of the reward model (reward_model.length_removal), or choose a recipe with length control"
            )
    return None
