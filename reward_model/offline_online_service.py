"""Keeping the points of predicted against realised rates, and reading off them how far a gate may trust predictions."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from infra.contracts import Message
from infra.runtime import Context
from reward_model.offline_online import OfflineOnline, Rate, offline_online, predicted_rate, realised_rate
from reward_model.offline_online_repository import ArmLabel, OfflineOnlineRepository, Prediction, Realised, Waiting

FEWEST_PEOPLE = 30
"""People in the candidate's arm without which an experiment says nothing of a rate."""


def fixed_prompts(prompts: Mapping[str, Sequence[Message]], count: int) -> tuple[str, ...]:
    """Names of the `count` prompts to predict on: ordered by a hash of their content, so that nobody picks them and the
    same stock gives the same set. `prompts` maps a name to the messages before the answer."""
    return tuple(sorted(prompts, key=lambda name: (_digest(prompts[name]), name))[:count])


def prompt_set_hash(prompts: Sequence[Sequence[Message]]) -> str:
    """SHA-256 (hex) of a set of prompts; their order does not matter."""
    return sha256("".join(sorted(_digest(messages) for messages in prompts)).encode()).hexdigest()


def record_predictions(
    connection: Connection,
    project: str,
    *,
    candidate: str,
    control: str,
    reward_model: str,
    prompts: Sequence[Sequence[Message]],
    candidate_scores: Mapping[str, NDArray[np.float64]],
    control_scores: Mapping[str, NDArray[np.float64]],
    candidate_prompt: NDArray[np.int64],
    control_prompt: NDArray[np.int64],
    now: float,
    contrasts: Mapping[str, float] | None = None,
) -> list[str]:
    """Keep what `reward_model` predicts of a candidate and its control (`name@version` each) on the same `prompts`.

    Scores [n] in [0, 1] by objective with the prompt [n] each answer is for; an objective with a score that is missing
    or not finite is left out. `contrasts`: of the heads that have one, see `contrasted`. The first prediction of a
    candidate stands. Returns the objectives kept; call it before the candidate is shown to anybody.
    """
    repository, kept = OfflineOnlineRepository(connection, project), []
    for objective, scores in candidate_scores.items():
        if not len(scores) or not np.isfinite(scores).all():
            continue
        ours = predicted_rate(scores, candidate_prompt)
        theirs = _rate_of(control_scores.get(objective), control_prompt)
        if theirs is not None and contrasts is not None:
            ours = contrasted(ours, theirs, contrasts.get(objective, 1.0))
        prediction = Prediction(
            candidate=candidate,
            objective=objective,
            control=control,
            reward_model=reward_model,
            prompt_set=prompt_set_hash(prompts),
            prompts=len(prompts),
            predicted=ours.value,
            predicted_error=ours.error,
            predicted_control=None if theirs is None else theirs.value,
            predicted_control_error=None if theirs is None else theirs.error,
            predicted_at=now,
        )
        if repository.predict(prediction):
            kept.append(objective)
    return kept


def contrasted(candidate: Rate, control: Rate, contrast: float) -> Rate:
    """What a candidate is predicted, given its control on the same prompts: control + c (candidate - control), in
    [0, 1], the candidate's scores and the control's being independent. Both answer the same questions, so all that
    parts them are differences between answers to one question, of which c says how much they are worth."""
    value = control.value + contrast * (candidate.value - control.value)
    error = float(np.hypot(contrast * candidate.error, (1.0 - contrast) * control.error))
    return Rate(float(np.clip(value, 0.0, 1.0)), error)


def fill_points(
    context: Context, confirm: Callable[[Connection], None] = lambda _connection: None
) -> list[tuple[str, str]]:
    """Fill in what people did wherever an experiment has ended and its labels have settled; safe to call at any time.

    The rate is the weighted mean label over the answers of people who saw one arm alone, labels and weights as the
    reward model learns from them. An experiment with too few people leaves its point open. `confirm` is called first in
    the transaction that writes. Returns (candidate, objective) of every point filled.
    """
    now, project = context.clock.now(), context.settings.project
    with context.database.reading() as connection:
        repository = OfflineOnlineRepository(connection, project)
        ready = [waiting for waiting in repository.waiting() if settled_at(waiting) <= now]
        found = [(waiting, repository.arm_labels(waiting.experiment_id, waiting.objective, now)) for waiting in ready]
    halves = [(waiting, _realised(rows, waiting.arm), _realised(rows, "control")) for waiting, rows in found]
    filled = []
    with context.database.transaction() as connection:
        confirm(connection)
        repository = OfflineOnlineRepository(connection, project)
        for waiting, challenger, control in halves:
            enough = challenger is not None and challenger.people >= FEWEST_PEOPLE
            if enough and challenger is not None and repository.realise(waiting, challenger, control, now):
                filled.append((waiting.candidate, waiting.objective))
    return filled


def settled_at(waiting: Waiting) -> float:
    """Unix seconds at which the labels of the experiment's last answers are final: its end and the time its own rules
    give labels to settle."""
    return waiting.ended_at + float(str(waiting.config.get("freeze_after_seconds", 0.0)))


def report(connection: Connection, project: str, objective: str = "love") -> OfflineOnline:
    """Everything the kept points say of one objective."""
    return offline_online(OfflineOnlineRepository(connection, project).points(objective))


def _realised(rows: Sequence[ArmLabel], arm: str) -> Realised | None:
    own = [row for row in rows if row.arm == arm]
    if not own:
        return None
    names, people = np.unique([row.user_key for row in own], return_inverse=True)
    rate = realised_rate(np.array([row.value for row in own]), np.array([row.weight for row in own]), people)
    return Realised(rate, len(names)) if np.isfinite(rate.error) else None


def _rate_of(scores: NDArray[np.float64] | None, prompt: NDArray[np.int64]) -> Rate | None:
    if scores is None or not len(scores) or not np.isfinite(scores).all():
        return None
    return predicted_rate(scores, prompt)


def _digest(messages: Sequence[Message]) -> str:
    return sha256(msgspec.json.encode([(message.role, message.content) for message in messages])).hexdigest()
