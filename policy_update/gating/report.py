"""A verdict for people: the picture of gain against KL, and files for the run's artifacts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VERDICT_FILE = "verdict.json"
PICTURE_FILE = "gain-against-kl.png"
_TRAINED, _HELD_OUT, _BUDGET = "#3b6fb6", "#c4532d", "#8a8a8a"


def write_artifacts(folder: Path, document: Mapping[str, Any]) -> None:
    """The verdict as JSON and its picture, into `folder` (made). No answer's text is kept, so that nobody's words need
    erasing there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VERDICT_FILE).write_text(json.dumps(document, indent=2), encoding="utf-8")
    draw_gain(document, folder / PICTURE_FILE)


def training_curve(document: Mapping[str, Any]) -> list[tuple[float, float]]:
    """(KL to the champion, weighted reward gained since the first step) of each step, the reward on the scale of the
    verdict's: by the model that taught, on prompts that were trained on. Empty where the steps are not known."""
    notes, history = document.get("notes", {}), document.get("history", [])
    weights, spreads = notes.get("weights", {}), notes.get("spreads", {})
    names = [name for name in weights if name in spreads and history and name in history[0]["rewards"]]
    usable = [name for name in names if float(spreads[name]) > 0]  # a spread or reward of "nan" was no number
    if not usable:
        return []
    first = history[0]["rewards"]
    return [
        (
            float(step["kl"]),
            sum(weights[name] * (float(step["rewards"][name]) - float(first[name])) / spreads[name] for name in usable),
        )
        for step in history
    ]


def held_out_point(document: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """(KL, gain, low, high) of the examination, or None where it was not measured."""
    checks = {check["name"]: check for check in document.get("checks", [])}
    if not {"reward", "kl_to_champion"} <= set(checks):
        return None
    gain, kl = checks["reward"], checks["kl_to_champion"]["value"]
    numbers = (kl, gain["value"], gain["low"], gain["high"])
    return None if any(isinstance(number, str) for number in numbers) else numbers


def draw_gain(document: Mapping[str, Any], path: Path) -> None:
    """Gain against KL: what training said it gained, step by step, and what the examiner found on held-out prompts.
    Where the first runs away from the second, the policy has learned the reward model rather than the task."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    curve, point = training_curve(document), held_out_point(document)
    if curve:
        kls, gains = [kl for kl, _ in curve], [gain for _, gain in curve]
        axes.plot(kls, gains, "o-", ms=4, color=_TRAINED, lw=1, label="training, by the teacher, step by step")
    if point is not None:
        kl, gain, low, high = point
        axes.errorbar(
            [kl], [gain], yerr=[[gain - low], [high - gain]], fmt="D", color=_HELD_OUT, capsize=4,
            label="held-out prompts, by the examiner",
        )  # fmt: skip
    limit = next((c["limit"] for c in document.get("checks", []) if c["name"] == "kl_to_champion"), None)
    if isinstance(limit, float | int):
        axes.axvline(limit, color=_BUDGET, ls="--", lw=1, label="KL budget")
    axes.axhline(0, color=_BUDGET, lw=0.8)
    axes.set_xlim(left=0)
    axes.set_xlabel("KL to the champion, nats a token")
    axes.set_ylabel("weighted reward gained\n(standard deviations of the champion's answers)")
    failed = [check["name"] for check in document.get("checks", []) if not check["passed"]]
    axes.set_title("passed" if document.get("passed") else "refused: " + ", ".join(failed[:3]), fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.savefig(path)
