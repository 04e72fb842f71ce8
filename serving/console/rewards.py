"""The page of rewards: what people's labels look like by arm and version, and how far the model's values may be
believed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request

from infra.contracts import OBJECTIVES
from infra.runtime import Context
from ingest.validity.repository import ValidityRepository
from reward_model.offline_online_service import report as offline_online
from serving.console.charts import histogram
from serving.console.errors import NothingHere
from serving.console.feedback_repository import FeedbackRepository
from serving.console.models_repository import ModelsRepository
from serving.console.repository import ConsoleRepository

LABELS = 1000
VERSIONS = 20
GROUPS = 8
Z95 = 1.959963985


def rewards_view(context: Context, request: Request) -> tuple[str, dict[str, Any]]:
    """Of one objective, and of one reward model: the champion unless another is asked for. Raises NothingHere."""
    objectives = tuple(context.settings.ingest.objectives) or OBJECTIVES
    objective = request.query_params.get("objective", objectives[0])
    if objective not in objectives:
        raise NothingHere(f"there is no objective {objective[:40]!r}: there are {', '.join(objectives)}")
    name, version = _wanted(request.query_params.get("version", ""))
    project = context.settings.project
    with context.database.reading() as connection:
        labels = FeedbackRepository(connection, project).newest_labels(LABELS)
        models = ModelsRepository(connection, project)
        row = models.reward_model(name, version)
        versions = ConsoleRepository(connection, project).reward_models(VERSIONS)
        validity = ValidityRepository(connection, project).newest()
        online = offline_online(connection, project, objective)
        waiting = models.waiting_points(objective)
    if name is not None and row is None:
        raise NothingHere(f"there is no reward model {name}@{version}")
    values = {
        "objectives": objectives, "objective": objective, "groups": groups_of(labels, objective),
        "labels": len(labels), "labels_at_most": LABELS, "model": row, "versions": versions, "validity": validity,
        "heads": heads_of(row), "reliability": reliability_of(row), "summary": _summary(row),
        "scatter_data": scatter_of(online), "online": online, "waiting": waiting,
    }  # fmt: skip
    return "rewards.html", values


def groups_of(labels: Sequence[Mapping[str, Any]], objective: str) -> list[dict[str, Any]]:
    """A group for each adapter and arm among the newest labels: mean with its 95 % interval, and the distribution."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in labels:
        value = row["objective_values"].get(objective)
        if value is not None:
            arm = "outside experiments" if row["experiment"] is None else f"{row['arm']}, {row['experiment']}"
            found.setdefault((row["adapter"], arm), []).append(float(value))
    groups: list[dict[str, Any]] = []
    for (adapter, arm), values in found.items():
        mean = sum(values) / len(values)
        error = math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1) / len(values))
        groups.append(
            {
                "adapter": adapter, "arm": arm, "answers": len(values), "mean": mean, "low": mean - Z95 * error,
                "high": mean + Z95 * error, "bins": histogram(values),
            }
        )  # fmt: skip
    return sorted(groups, key=lambda group: group["answers"], reverse=True)[:GROUPS]


def heads_of(row: Any) -> list[dict[str, Any]]:
    """A row a head: what it was trained on and how good it is on people it never saw."""
    if row is None:
        return []
    calibration = row["metrics"].get("evaluation", {}).get("calibration", {})
    return [
        {
            "name": name,
            "labels": head.get("labels_trained"),
            "held_out": head.get("labels_held_out"),
            "auroc": head.get("auroc"),
            "accuracy": head.get("accuracy"),
            "skill": calibration.get(name, {}).get("skill"),
            "error": calibration.get(name, {}).get("error"),
            "calibrated": calibration.get(name, {}).get("calibrated"),
            "length": head.get("length_correlation"),
        }
        for name, head in row["metrics"].get("heads", {}).items()
    ]


def reliability_of(row: Any) -> list[dict[str, Any]]:
    """(predicted, observed, share of the weight) of each bin, by head."""
    if row is None:
        return []
    found = []
    for name, report in row["metrics"].get("evaluation", {}).get("calibration", {}).items():
        points = report.get("reliability", {})
        parts = (points.get("predicted", []), points.get("observed", []), points.get("share", []))
        bins = [
            {"predicted": p, "observed": o, "share": s}
            for p, o, s in zip(*parts, strict=True)
            if all(isinstance(value, int | float) and math.isfinite(value) for value in (p, o, s))
        ]
        if bins:
            top = max(max(one["predicted"], one["observed"]) for one in bins)
            found.append({"head": name, "bins": bins, "top": _round_up(top)})
    return found


def scatter_of(online: Any) -> dict[str, Any] | None:
    """Predicted against realised rates of past candidates, with 95 % intervals."""
    if not online.points:
        return None
    points = [
        {
            "name": point.candidate,
            "x": point.predicted.value, "x_low": point.predicted.value - Z95 * point.predicted.error,
            "x_high": point.predicted.value + Z95 * point.predicted.error,
            "y": point.realised.value, "y_low": point.realised.value - Z95 * point.realised.error,
            "y_high": point.realised.value + Z95 * point.realised.error,
        }
        for point in online.points[-30:]
    ]  # fmt: skip
    return {"points": points, "top": _round_up(max(max(one["x_high"], one["y_high"]) for one in points))}


def _round_up(value: float) -> float:
    """The next of 0.1, 0.2, 0.5, 1: an axis that ends on a round number."""
    return next((edge for edge in (0.1, 0.2, 0.5, 1.0) if value <= edge), 1.0)


def _summary(row: Any) -> list[str]:
    return [] if row is None else [str(line) for line in row["metrics"].get("summary", [])]


def _wanted(ref: str) -> tuple[str | None, int | None]:
    name, _, version = ref.partition("@")
    return (name, int(version)) if name and version.isdecimal() and len(version) < 10 else (None, None)
