"""What is kept of a step: JSON that any store takes."""

import json
from dataclasses import asdict

from policy_update.records import StepRecord, plain


def test_a_step_that_was_taken_back_is_json_without_nan() -> None:
    """It has no gradient; PostgreSQL refuses a document with NaN, and with it the whole cycle's verdicts."""
    numbers = dict.fromkeys(("kl", "beta", "clip_fraction", "mean_length", "sampler_mismatch"), 0.5)
    seconds = dict.fromkeys(("sampling_seconds", "scoring_seconds", "update_seconds"), 1.0)
    record = StepRecord(
        step=3, rewards={"love": float("nan")}, spreads={}, shares={}, covariances={}, gradient_norm=float("nan"),
        taken_back=True, **numbers, **seconds,
    )  # fmt: skip
    document = plain(asdict(record))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["gradient_norm"], document["rewards"], document["taken_back"]) == ("nan", {"love": "nan"}, True)
    assert plain((1, [float("-inf")], {"a": None, "b": "x"})) == [1, ["-inf"], {"a": None, "b": "x"}]
