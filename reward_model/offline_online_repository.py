"""SQL of the points of predicted against realised rates."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from infra.contracts import Arm, arm_of
from infra.db import Dialect, insert_ignore, rows_by_keys
from infra.db.tables import experiments, exposures, interactions, labels, offline_online_points
from reward_model.offline_online import Point, Rate

AT_ONCE = 400
"""People asked about in one query."""


@dataclass(frozen=True)
class Prediction:
    """What a reward model (`name@version`) predicted of a candidate on `prompts` fixed prompts, whose SHA-256 is
    `prompt_set`, before anybody saw it; and of its control under the same prompts."""

    candidate: str
    objective: str
    control: str
    reward_model: str
    prompt_set: str
    prompts: int
    predicted: float
    predicted_error: float
    predicted_control: float | None
    predicted_control_error: float | None
    predicted_at: float


@dataclass(frozen=True)
class Waiting:
    """A point without its realised half whose candidate's experiment has ended."""

    candidate: str
    objective: str
    experiment_id: str
    ended_at: float
    config: dict[str, Any]
    arm: Arm = "challenger"
    """Of several candidates tried at once, which this one was."""


@dataclass(frozen=True)
class ArmLabel:
    """The label of one answer of one arm, one objective: `value` in [0, 1], `weight` >= 0."""

    arm: str
    user_key: str
    value: float
    weight: float


@dataclass(frozen=True)
class Realised:
    """The half that people filled in: the rate of one arm over `people` people."""

    rate: Rate
    people: int


class OfflineOnlineRepository:
    """One project's points, through one connection."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def predict(self, prediction: Prediction) -> bool:
        """Keep a prediction. The first one of a candidate and objective stands for ever: returns whether it was it."""
        dialect: Dialect = "sqlite" if self._connection.dialect.name == "sqlite" else "postgresql"
        row = {"project": self._project, **asdict(prediction)}
        statement = insert_ignore(offline_online_points, dialect).values(row)
        return self._connection.execute(statement.returning(offline_online_points.c.candidate)).first() is not None

    def waiting(self) -> list[Waiting]:
        """Points that lack what people did though their experiment is over: each candidate's first one that ended."""
        points = offline_online_points.c
        query = (
            select(points.candidate, points.objective)
            .where(points.project == self._project, points.realised_at.is_(None))
            .order_by(points.candidate, points.objective)
        )
        lacking = [(row.candidate, row.objective) for row in self._connection.execute(query)]
        ended = self._ended() if lacking else {}
        return [
            Waiting(candidate, objective, *ended[candidate]) for candidate, objective in lacking if candidate in ended
        ]

    def _ended(self) -> dict[str, tuple[str, float, dict[str, Any], Arm]]:
        """Candidate -> id, end, configuration and its arm, of the first challenge that ended with it."""
        trials = experiments.c
        query = (
            select(trials.experiment_id, trials.ended_at, trials.config, trials.challenger, trials.others)
            .where(
                trials.project == self._project,
                trials.kind == "challenge",
                trials.status != "running",
                trials.ended_at.is_not(None),
            )
            .order_by(trials.ended_at, trials.experiment_id)
        )
        found: dict[str, tuple[str, float, dict[str, Any], Arm]] = {}
        for row in self._connection.execute(query):
            for place, candidate in enumerate((row.challenger, *row.others)):
                found.setdefault(candidate, (row.experiment_id, row.ended_at, row.config, arm_of(place)))
        return found

    def arm_labels(self, experiment_id: str, objective: str, until: float) -> list[ArmLabel]:
        """Newest final labels made by `until` of the answers an experiment gave to people of one arm alone."""
        people = exposures.c
        query = select(people.user_key, people.arm).where(
            people.project == self._project, people.experiment_id == experiment_id, people.arms_seen == 1
        )
        arm_of = {row.user_key: row.arm for row in self._connection.execute(query)}
        found, users = [], sorted(arm_of)
        for start in range(0, len(users), AT_ONCE):
            shown = self._shown(experiment_id, users[start : start + AT_ONCE])
            for row in self._newest_labels(list(shown), until):
                user_key, arm = shown[row.response_id]
                value, weight = row.objective_values.get(objective), row.weights.get(objective, 1.0)
                if arm == arm_of[user_key] and value is not None and weight > 0.0:
                    found.append(ArmLabel(arm, user_key, float(value), float(weight)))
        return found

    def realise(self, waiting: Waiting, challenger: Realised, control: Realised | None, now: float) -> bool:
        """Write what people did, once; returns whether it was this call that wrote it."""
        columns = offline_online_points.c
        result = self._connection.execute(
            update(offline_online_points)
            .where(
                columns.project == self._project,
                columns.candidate == waiting.candidate,
                columns.objective == waiting.objective,
                columns.realised_at.is_(None),
            )
            .values(
                experiment_id=waiting.experiment_id,
                realised=challenger.rate.value,
                realised_error=challenger.rate.error,
                realised_people=challenger.people,
                realised_control=None if control is None else control.rate.value,
                realised_control_error=None if control is None else control.rate.error,
                realised_control_people=None if control is None else control.people,
                realised_at=now,
            )
        )
        return result.rowcount == 1

    def points(self, objective: str) -> list[Point]:
        """Every candidate with both halves, in the order in which people's came in."""
        columns = offline_online_points.c
        query = (
            select(offline_online_points)
            .where(columns.project == self._project, columns.objective == objective, columns.realised_at.is_not(None))
            .order_by(columns.realised_at, columns.candidate)
        )
        return [
            Point(
                candidate=row["candidate"],
                predicted=Rate(row["predicted"], row["predicted_error"]),
                realised=Rate(row["realised"], row["realised_error"]),
                control_predicted=_rate(row["predicted_control"], row["predicted_control_error"]),
                control_realised=_rate(row["realised_control"], row["realised_control_error"]),
            )
            for row in self._connection.execute(query).mappings()
        ]

    def _shown(self, experiment_id: str, users: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Response id -> person and arm, of the answers these people got in the experiment."""
        columns, fixed = interactions.c, {"project": self._project, "experiment": experiment_id}
        wanted = (columns.response_id, columns.user_key, columns.arm)
        rows = rows_by_keys(self._connection, wanted, columns.user_key, users, fixed)
        return {row.response_id: (row.user_key, row.arm) for row in rows}

    def _newest_labels(self, responses: Sequence[str], until: float) -> list[Row[Any]]:
        """Of every choice, the newest final label made by `until`."""
        columns, fixed = labels.c, {"project": self._project}
        wanted = (columns.response_id, columns.choice, columns.version, columns.objective_values, columns.weights)
        final = (columns.version >= 1, columns.made_at <= until)
        rows = rows_by_keys(self._connection, wanted, columns.response_id, responses, fixed, *final)
        return list({tuple(row[:2]): row for row in sorted(rows, key=lambda row: tuple(row[:3]))}.values())


def _rate(value: float | None, error: float | None) -> Rate | None:
    return None if value is None or error is None else Rate(value, error)
