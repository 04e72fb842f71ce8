"""A new utility on the old one's scale: the same answers keep their numbers, and what the pin cannot do is said."""

import numpy as np
import pytest
import torch

from reward_model.held_out import UTILITY, Predictions
from reward_model.pinning import ANCHORS_FILE, pin_to, pinned_head, read_record, write_record
from tests.reward_model.builders import answer, build, label


def data_of(count: int):  # type: ignore[no-untyped-def]
    rows = [answer(i) for i in range(count)]
    return build(rows, [label(row, love=float(i % 2)) for i, row in enumerate(rows)])


def test_a_second_version_takes_the_firsts_scale() -> None:
    data = data_of(80)
    first = np.random.default_rng(0).normal(size=80)
    one = pin_to(None, data, Predictions({UTILITY: first, "love": np.full(80, 0.5)}))
    assert (one.pin.scale, one.pin.offset) == (1.0, 0.0)
    assert one.record is not None
    again = pin_to(one.record, data, Predictions({UTILITY: 3.0 * first - 7.0, "love": np.full(80, 0.6)}))
    assert again.pin.scale == pytest.approx(1 / 3)
    assert again.pin.apply(3.0 * first - 7.0) == pytest.approx(first)
    assert again.document["drift"][UTILITY]["scale"] == pytest.approx(0.0, abs=1e-9)
    assert again.document["drift"]["love"]["level"] == pytest.approx(0.1)
    assert again.record is not None
    assert again.record.anchors == one.record.anchors
    assert again.record.scores[UTILITY] == pytest.approx(one.record.scores[UTILITY])


def test_anchors_that_are_gone_are_replaced_and_the_reason_stands_there() -> None:
    data = data_of(80)
    first = pin_to(None, data, Predictions({UTILITY: np.arange(80.0)}))
    rows = [answer(i, text=f"rewritten {i}") for i in range(80)]
    later = build(rows, [label(row, love=1.0) for row in rows])
    found = pin_to(first.record, later, Predictions({UTILITY: np.arange(80.0)}))
    assert found.pin.scale == 1.0
    assert "anchors" in found.document["reason"]
    assert found.record is not None
    assert found.record.anchors != first.record.anchors  # type: ignore[union-attr]


def test_few_answers_have_no_anchors() -> None:
    found = pin_to(None, data_of(5), Predictions({UTILITY: np.arange(5.0)}))
    assert found.record is None
    assert found.document["anchors"] == 0


def test_heads_are_mapped_with_their_refits_and_only_the_utility() -> None:
    weights, intercepts = torch.ones(2, 3, 4), torch.ones(2, 3)
    pin = pin_to(None, data_of(40), Predictions({UTILITY: np.arange(40.0)})).pin
    mapped = pinned_head(weights, intercepts, ("love", UTILITY), type(pin)(2.0, 0.5))
    assert torch.equal(mapped[0][0], weights[0])
    assert torch.equal(mapped[0][1], 2.0 * weights[1])
    assert torch.equal(mapped[1][1], torch.full((3,), 2.5))
    assert pinned_head(weights, intercepts, ("love", "dwell"), type(pin)(2.0, 0.5))[0] is weights


def test_records_are_read_back_and_a_damaged_one_is_none(tmp_path) -> None:  # type: ignore[no-untyped-def]
    record = pin_to(None, data_of(40), Predictions({UTILITY: np.arange(40.0)})).record
    assert read_record(tmp_path) is None
    assert record is not None
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    (tmp_path / ANCHORS_FILE).write_bytes(b"{")
    assert read_record(tmp_path) is None
