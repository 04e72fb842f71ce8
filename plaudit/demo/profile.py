"""The demo's settings: the same system with windows of seconds instead of days. Nothing else is special about it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plaudit.demo.options import DemoOptions

PROJECT = "demo"


JOBS = {
    "heartbeat_seconds": 1.0,
    "label_every_seconds": 2.0,
    "decide_every_seconds": 2.0,
    "reward_model_every_seconds": 2.0,
    "policy_update_every_seconds": 2.0,
    "registry_every_seconds": 15.0,
}

INGEST = {
    # A busy machine may take ten seconds to answer and ten more for a second answer: reactions must not come too late.
    "window_seconds": 20.0,
    "allowed_lateness_seconds": 2.0,
    # Here every regeneration is followed by a duel of the two answers, which says more.
    "regenerate_weight": 0.0,
    "objectives": {"dwell": {"weight": 1.0, "override": "simulated people read longer what they like; the demo's own"}},
}


def settings_document(options: DemoOptions, pinned: Sequence[str] = ()) -> dict[str, Any]:
    """What `plaudit.toml` of the demo says; `pinned` adapters stay loaded whatever is decided about them."""
    return {
        "project": PROJECT,
        "data_dir": str(options.folder.resolve()),
        "ingest": INGEST,
        "jobs": JOBS,
        "reward_model": {
            "min_labels": 200,
            # About 1.3 answers and 0.3 pairs come from each visit: training begins as the last people leave. Fewer
            # where the machine is slow: there some people leave before they are answered.
            "min_new_labels": int((1.2 if options.smaller else 1.4) * options.people_before),
            # Two cores: no training beside the experiment because its people say something new.
            "drift_share": 1.0,
            # 130 people in the hold-out cannot show that a first model beats chance, and without a champion no policy
            # is trained. Whether the model was worth its while is what the gate and the experiment are asked.
            "champion_rule": "newest",
            "new_people_cost": 0.0,
            # A thousand answers of one model, of which one in six is liked: which of two was liked says more about who
            # was asked than about the answers. With such pairs the utility head learns nothing (its penalty goes to the
            # largest there is).
            "matched_pair_weight": 0.0,
            "min_pairs": 60,
            "layers": [4, 16],
            "opening_tokens": 16,
        },
        "policy_update": policy_update(options),
        "serving": {"pinned_adapters": list(pinned), "max_batch_rows": 48},
        "ab_testing": ab_testing(options),
    }


def policy_update(options: DemoOptions) -> dict[str, Any]:
    """A short update: minutes on two cores."""
    return {
        "steps": options.steps,
        "prompts_per_step": 6,
        "group_size": 8,
        "micro_batch_prompts": 3,
        "max_new_tokens": options.max_tokens,
        "temperature": options.temperature,
        "lora_alpha": 16,
        "learning_rate": 8e-4,
        "final_rate": 0.5,
        # The lower third of the layers stays as it is: a fifth less time a step.
        "lora_first_layer": 10,
        "seed": options.seed,
        # Learned heads are shrunk by their own noise, likelihood is not: it gets less than any of them.
        "objectives": {"love": 1.5, "sentiment": 0.5, "dwell": 1.5, "utility": 1.5, "reuse": 0.25, "coherence": 0.9},
        # 48 answers: no change at all looks like anything down to -0.4 standard deviations. And no time for advice.
        "gate": {"prompts": 24, "answers_per_prompt": 2, "objective_margin": 0.9, "logged_answers": 0},
        # A free candidate of the one training: a third beyond. There is time for one, and for one experiment; on a slow
        # machine not for the gate to look at it.
        "candidates": {"extrapolations": [] if options.smaller else [0.3], "most_challengers": 1},
    }


def ab_testing(options: DemoOptions) -> dict[str, Any]:
    """One phase at half of the people; guardrails wide enough to be shown on some hundred people."""
    return {
        "metrics": [
            {"name": "love", "objective": "love", "role": "goal"},
            guardrail("harm", "harm", "lower", 0.1),
            guardrail("feedback_rate", "feedback", "higher", 0.15),
        ],
        "ramp_shares": [0.5],
        "min_people_per_phase": 40,
        "min_phase_seconds": 0.0,
        "min_people_per_arm": 60,
        "min_runtime_seconds": 20.0,
        "max_people": options.experiment_people,
        "max_runtime_seconds": options.experiment_seconds,
        "smallest_relative_effect": 0.25,
        "metric_window_seconds": 4.0,
        "allowed_lateness_seconds": 3.0,
        "freshness_seconds": 30.0,
        # Replicas try again after a minute; an adapter that is none then ends its experiment in time.
        "proof_patience_seconds": 30.0,
        # A stream of one challenger, or two: the second would need an e-value of 24, the first 17 (20 alone).
        "fdr_horizon": 2,
        # Nobody stays to be compared after the promotion.
        "holdback_share": 0.0,
    }


def guardrail(name: str, objective: str, direction: str, delta: float) -> dict[str, Any]:
    """A guardrail that counts people without a value as 0."""
    return {
        "name": name,
        "objective": objective,
        "role": "guardrail",
        "direction": direction,
        "missing": "zero",
        "delta": delta,
    }


def write(options: DemoOptions, pinned: Sequence[str] = ()) -> Path:
    """Write the file into the demo's folder; returns its path."""
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / "plaudit.toml"
    path.write_text(_toml(settings_document(options, pinned)), encoding="utf-8")
    return path


def _toml(document: dict[str, Any]) -> str:
    """TOML of a tree of tables, numbers, strings and lists of numbers (the standard library only reads TOML)."""
    lines: list[str] = []

    def table(prefix: str, values: dict[str, Any]) -> None:
        plain = {k: v for k, v in values.items() if not isinstance(v, dict)}
        if prefix and plain:
            lines.append(f"\n[{prefix}]")
        lines.extend(f"{key} = {_value(value)}" for key, value in plain.items())
        for key, value in values.items():
            if isinstance(value, dict):
                table(f"{prefix}.{key}" if prefix else key, value)

    table("", document)
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """Strings, numbers, booleans and arrays are written as in JSON; tables inside arrays are inline tables."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)
