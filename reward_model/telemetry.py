"""Gauges of the reward model that are read from the store: training is a process of its own."""

from collections.abc import Mapping
from typing import Any

from infra.metrics import catalogue as metrics
from infra.metrics.showing import show
from infra.runtime import Context
from reward_model.report import flat_metrics
from reward_model.repository import RewardModelRepository
from reward_model.versions_repository import VersionRepository


def refresh_reward_model_metrics(context: Context) -> None:
    """Bring them up to date; a `before_scrape` of the operations routes."""
    name = context.settings.reward_model.name
    with context.database.reading() as connection:
        newest = RewardModelRepository(connection, context.settings.project).newest(name)
        champion = VersionRepository(connection, context.settings.project).champion(name)
    metrics.REWARD_MODEL_CHAMPION.set(0 if champion is None else champion["version"])
    if newest is None:
        return
    metrics.REWARD_MODEL_VERSION.labels(name).set(newest["version"])
    metrics.REWARD_MODEL_MADE.set(newest["created_at"])
    _show_report(newest["metrics"])


def _show_report(report: Mapping[str, Any]) -> None:
    measured = {tuple(path.split(".", 1)): value for path, value in flat_metrics(report.get("heads", {})).items()}
    show(metrics.REWARD_MODEL_HELD_OUT, {key: value for key, value in measured.items() if key[1] in HELD_OUT_RATIOS})
    evaluation = report.get("evaluation", {})
    calibrated = {(head,): part.get("error") for head, part in evaluation.get("calibration", {}).items()}
    show(metrics.REWARD_MODEL_CALIBRATION, _numbers(calibrated))
    drift = evaluation.get("drift") or {}
    show(metrics.REWARD_MODEL_DRIFT, _numbers({(one["name"],): one["psi"] for one in drift.get("scores", ())}))
    metrics.REWARD_MODEL_DRIFTED.set(len(drift.get("reasons", ())))
    flips = (evaluation.get("disagreement") or {}).get("flips") or {}
    metrics.REWARD_MODEL_DISAGREEMENT.set(flips.get("estimate") or 0.0)


def _numbers(values: Mapping[tuple[Any], Any]) -> dict[tuple[str], float]:
    return {key: float(value) for key, value in values.items() if isinstance(value, int | float)}


HELD_OUT_RATIOS = frozenset(
    {"auroc", "brier", "ece", "base_rate", "flip_rate", "accuracy.estimate", "accuracy.low", "accuracy_bt.estimate"}
)
"""Measures in [0, 1] that are exported; the others stand in the report."""
