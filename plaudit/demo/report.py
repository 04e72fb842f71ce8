"""The demo's report: one JSON document, one HTML page without scripts, and a table for the terminal."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, select_autoescape
from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from plaudit.demo.charts import Series, bar_chart, line_chart
from plaudit.demo.facts import Facts
from plaudit.demo.verdicts import front_data, gate_data

EVALUATION_ROWS = (("love rate (panel)", "love"), ("relevance", "relevance"))


def write(facts: Facts, folder: Path) -> Path:
    """Write `report.json` and `report.html` into `folder`; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(facts.document(), indent=1, default=str), encoding="utf-8")
    environment = Environment(autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True)
    source = files("plaudit.demo").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    page = folder / "report.html"
    page.write_text(environment.from_string(source).render(**page_data(facts)), encoding="utf-8")
    return page


def page_data(facts: Facts) -> dict[str, Any]:
    """Everything the template shows."""
    story = facts.story
    return {
        "seed": story.options.seed,
        "finished_at": facts.finished_at,
        "console": facts.extra.get("console", ""),
        "again": facts.extra.get("again", ""),
        "size": facts.extra.get("size", ""),
        "machine": machine(),
        "version": version("plaudit"),
        "closed": facts.closed,
        "headline": facts.headline,
        "reasons": facts.reasons,
        "tiles": tiles(facts),
        "funnel_chart": Markup(_funnel(facts)),
        "reward_model": reward_table(facts.reward_model),
        "training": training_data(facts.candidates),
        "gate": gate_data(facts.adapter),
        "front": front_data(facts),
        "experiment": experiment_data(facts),
        "evaluation": evaluation_data(facts),
        "time_chart": Markup(bar_chart([(n, s, f"{s:.0f} s") for n, s in story.phases], label="seconds by phase")),
        "jobs": [
            {
                "name": row["job"],
                "status": row["status"],
                "detail": row["detail"],
                "seconds": f"{(row['ended_at'] or row['heartbeat_at']) - row['started_at']:.1f}",
            }
            for row in facts.jobs
            if row["job"] in ("reward-model", "policy-update")
        ],
    }


def machine() -> str:
    """Cores, architecture and versions the figures were made with."""
    import os

    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {platform.machine()}, Python {platform.python_version()}, torch {version('torch')}"


def tiles(facts: Facts) -> list[dict[str, str]]:
    """The figures at the top of the page and in the terminal."""
    rows = [
        ("answers served", "answers", str(facts.funnel.get("answers", 0))),
        ("feedback events", "events", str(facts.funnel.get("events", 0))),
        ("events lost or doubled", "lost", f"{facts.lost} / {facts.doubled}"),
        ("minutes in all", "minutes", f"{facts.seconds / 60:.1f}"),
        ("first label, decision", "milestones", _milestones(facts)),
        ("peak memory", "memory", f"{facts.peak_bytes / 2**30:.1f} GiB"),
        ("restarts", "restarts", str(facts.story.restarts)),
    ]
    found = facts.story.evaluation
    if found is not None:
        lift = found.love.mean / max(found.love_base, 1e-9)
        rows.insert(0, ("love rate on unseen prompts", "love", f"{found.love_base:.3f} → {found.love_adapter:.3f}"))
        rows.insert(1, ("relative change", "lift", f"{lift:+.0%}"))
    return [{"name": name, "id": key, "value": value} for name, key, value in rows]


def _milestones(facts: Facts) -> str:
    """When the first final label and the first decision came, after the system was ready."""
    label, decision = facts.milestones.get("final label"), facts.milestones.get("decision")
    return f"{'–' if label is None else f'{label:.0f} s'}, {'–' if decision is None else f'{decision / 60:.1f} min'}"


def _funnel(facts: Facts) -> str:
    stages = (
        "answers",
        "shown",
        "dwell",
        "like",
        "dislike",
        "copy",
        "reuse",
        "share",
        "regenerate",
        "duel",
        "final_labels",
    )
    rows = [
        (stage.replace("_", " "), float(facts.funnel.get(stage, 0)), str(facts.funnel.get(stage, 0)))
        for stage in stages
    ]
    return bar_chart(rows, label="feedback funnel")


HEAD_COLUMNS = (
    ("labels_trained", "labels"),
    ("labels_held_out", "held out"),
    ("base_rate", "base rate"),
    ("auroc", "AUROC"),
    ("brier_skill", "Brier skill"),
    ("ece", "ECE"),
    ("length_correlation", "length corr."),
    ("accuracy", "pairwise accuracy"),
    ("accuracy_bt", "plain BT"),
    ("gain_over_bt", "gain over BT"),
    ("flip_rate", "flip rate"),
)


def reward_table(row: Any) -> dict[str, Any] | None:
    """The reward model's hold-out metrics as a table of heads; columns that no head has are left out."""
    if row is None:
        return None
    heads = row["metrics"].get("heads", {})
    columns = [(key, title) for key, title in HEAD_COLUMNS if any(key in values for values in heads.values())]
    return {
        "ref": f"{row['name']}@{row['version']}",
        "columns": [title for _, title in columns],
        "rows": [{"name": n, "cells": [_number(values.get(key)) for key, _ in columns]} for n, values in heads.items()],
        "lines": [str(line) for line in row["metrics"].get("summary", [])],
    }


def loss_comparison(row: Any) -> str:
    """The default loss beside plain Bradley-Terry on the same unseen pairs; empty where there is no such head."""
    found = row["metrics"].get("heads", {}).get("utility", {}) if row is not None else {}
    if "accuracy_bt" not in found:
        return ""
    gain = found.get("gain_over_bt", {})
    told = f" (gain {gain['estimate']:+.1%}, {gain['low']:+.1%} to {gain['high']:+.1%})" if gain else ""
    robust, plain = found["accuracy"], found["accuracy_bt"]
    return (
        f"{found['loss']} {robust['estimate']:.1%}, plain bt {plain['estimate']:.1%} of {robust['count']} unseen pairs"
        f"{told}; flip rate {found['flip_rate']:.2f}"
    )


def training_data(candidates: Sequence[Any]) -> dict[str, Any] | None:
    """Reward and KL curves of the cycle's first training."""
    found = (row["gate"]["history"] for row in candidates if row["gate"].get("history"))
    history: list[dict[str, Any]] = next(found, [])
    if not history:
        return None
    names = list(history[0]["rewards"])
    series = []
    for tone, name in enumerate(names[:4], start=1):
        values = [(float(r["step"] + 1), float(r["rewards"][name])) for r in history]
        start = values[0][1]
        series.append(Series(name, [(x, y - start) for x, y in values], tone=tone))
    kl = [Series("KL to the champion", [(float(r["step"] + 1), float(r["kl"])) for r in history], tone=2)]
    return {
        "reward_chart": Markup(line_chart(series, x_label="step", y_label="change of mean reward")),
        "kl_chart": Markup(line_chart(kl, x_label="step", y_label="nats a token")),
    }


def experiment_data(facts: Facts) -> dict[str, Any] | None:
    """Evidence over time, rates by arm, and the ledger."""
    if facts.experiment is None:
        return None
    return {
        "summary": facts.experiment_summary,
        "evidence_chart": Markup(
            line_chart(
                facts.evidence_series, x_label="people counted", y_label="log10 e-value", rules=facts.evidence_rules
            )
        ),
        "rate_chart": Markup(line_chart(facts.effect_series, x_label="people counted", y_label="love, difference")),
        "chain": "verified" if facts.chain_intact else "BROKEN",
        "decisions": facts.decisions,
    }


def evaluation_data(facts: Facts) -> dict[str, Any] | None:
    """The panel's judgment on unseen prompts."""
    found = facts.story.evaluation
    if found is None:
        return None
    rows = [
        {
            "name": name,
            "base": f"{getattr(found, key + '_base'):.3f}",
            "adapter": f"{getattr(found, key + '_adapter'):.3f}",
            "difference": f"{getattr(found, key).mean:+.3f}",
            "interval": f"{getattr(found, key).low:+.3f} to {getattr(found, key).high:+.3f}",
        }
        for name, key in EVALUATION_ROWS
    ]
    for name, before in found.attributes_base.items():
        after = found.attributes_adapter[name]
        rows.append(
            {
                "name": f"answers that are {name}",
                "base": f"{before:.2f}",
                "adapter": f"{after:.2f}",
                "difference": f"{after - before:+.2f}",
                "interval": "",
            }
        )
    return {"sentence": facts.evaluation_sentence, "rows": rows, "samples": found.samples}


def print_table(facts: Facts, page: Path, console: Console) -> None:
    """The summary for the terminal."""
    table = Table(title="One turn of the loop", show_header=False)
    for tile in tiles(facts):
        table.add_row(tile["name"], tile["value"])
    compared = loss_comparison(facts.reward_model)
    if compared:
        table.add_row("reward model", compared)
    table.add_row("outcome", facts.headline)
    for reason in facts.reasons:
        table.add_row("", reason)
    table.add_row("report", str(page))
    console.print(table)


def _number(value: object) -> str:
    if isinstance(value, dict):  # an interval
        return f"{value['estimate']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)


def evaluation_document(facts: Facts) -> dict[str, Any] | None:
    """The evaluation as plain data."""
    return None if facts.story.evaluation is None else asdict(facts.story.evaluation)
