"""What an evaluation found, as numbers for the registry, lines for people and pictures."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reward_model.best_of_n import BestOfN
from reward_model.drift import Drift
from reward_model.held_out import UTILITY
from reward_model.slices import Slice

Array = NDArray[np.float64]

_LEFT_OUT = frozenset({"slices", "best_of_n", "drift", "most_changed"})
"""Parts of the document that are tables, not numbers with a name; their headlines are added by hand."""


@dataclass(frozen=True)
class Examined:
    """`document` for the report and the manifest, `flat` numbers for the registry, `lines` for people; and what
    pictures are drawn of: (probabilities, targets, weights) and slices by head, the best-of-n curve, drift, and the
    values of challenger and champion on the same answers."""

    document: dict[str, Any]
    flat: dict[str, float]
    lines: tuple[str, ...]
    reliability: dict[str, tuple[Array, Array, Array]] = field(default_factory=dict)
    slices: dict[str, tuple[Slice, ...]] = field(default_factory=dict)
    best_of_n: BestOfN | None = None
    drift: Drift | None = None
    sides: tuple[Array, Array] | None = None

    def draw(self, folder: Path, ref: str) -> None:
        """Write the pictures of the version `ref` into `folder`."""
        from reward_model import plots  # brings matplotlib

        for head, (probabilities, targets, weights) in self.reliability.items():
            path = folder / f"reliability-{head}.png"
            plots.reliability_diagram(path, probabilities, targets, weights, title=f"{ref}: {head}")
        for head, found in self.slices.items():
            metric = "share of pairs ordered as people did" if head == UTILITY else "nats gained over chance a label"
            plots.slices_chart(folder / f"slices-{head}.png", found, title=f"{ref}: {head}", metric=metric)
        if self.best_of_n is not None:
            plots.best_of_n_curve(folder / "best-of-n.png", {ref: self.best_of_n}, title=f"{ref}: best of n")
        if self.drift is not None:
            plots.drift_chart(folder / "drift.png", self.drift, title=f"{ref}: since its training window")
        if self.sides is not None:
            plots.disagreement_chart(folder / "disagreement.png", *self.sides, title=f"{ref} against the champion")


def flat_of(document: Mapping[str, Any]) -> dict[str, float]:
    """`evaluation.part.name` -> finite number."""
    flat = {f"evaluation.{name}": value for name, value in _numbers(document)}
    best = document.get("best_of_n")
    for point in best["points"] if best else ():
        flat[f"evaluation.best_of_n.{point['n']}"] = float(point["mean"])
    for one in document["drift"]["scores"]:
        flat[f"evaluation.drift.psi.{one['name']}"] = float(one["psi"])
    for one in document["drift"]["rates"]:
        flat[f"evaluation.drift.rate.{one['name']}"] = float(one["difference"])
    return {name: value for name, value in flat.items() if math.isfinite(value)}


def lines_of(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The evaluation in words: calibration, the current policy, best of n, drift, what changed."""
    lines = [
        f"{head}: {'calibrated' if found['calibrated'] else 'not calibrated'} (debiased error {found['error']:.3f}, "
        f"{found['error_by_person']:.3f} were questions fixed, Brier skill {found['skill']:+.3f}, "
        f"{found['skill_low']:+.3f} to {found['skill_high']:+.3f})"
        for head, found in document["calibration"].items()
    ]
    lines += _policy(document["current_policy"])
    best = document.get("best_of_n")
    if best:
        points = ", ".join(f"n={point['n']}: {point['mean']:.3f}" for point in best["points"])
        lines.append(f"best of n on {best['prompts']} held-out prompts, mean label of the chosen: {points}")
    reasons = document["drift"]["reasons"]
    lines.append("drift since the training window: " + ("; ".join(reasons) if reasons else "none shown"))
    changed = document.get("disagreement")
    if changed and changed["rank_correlation"]:
        lines.append(
            f"{changed['head']} against the champion's: rank correlation {changed['rank_correlation']['estimate']:.3f}"
        )
    return tuple(lines)


def _policy(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for head, measured in found["heads"].items():
        if "accuracy" in measured:
            what = f"{measured['accuracy']['estimate']:.1%} of {measured['judgments']} pairs ordered as people did"
        elif measured.get("auroc") is not None:
            what = f"AUROC {measured['auroc']:.3f} on {measured['judgments']} labels"
        else:
            continue
        lines.append(f"{head} on answers of {found['adapter']}, which is served: {what}")
    return lines


def _numbers(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in document.items():
        if key in _LEFT_OUT:
            continue
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", float(value)


def plain(value: Any) -> Any:
    """The same as a JSON document that every database takes: numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
