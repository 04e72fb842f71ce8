"""Batches: every unit once an epoch, and a bootstrap by groups."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reward_model.finetuning.batches import Batches, batch_units, bootstrap_weights
from reward_model.finetuning.examples import Examples, from_sequences
from reward_model.finetuning.options import FinetuneOptions, InvalidFinetuning
from tests.reward_model.finetuning.conftest import make_examples


def given_fields(examples: Examples) -> dict[str, Any]:
    return {field.name: getattr(examples, field.name) for field in dataclasses.fields(examples) if field.init}


@given(st.integers(1, 20), st.integers(1, 30), st.integers(0, 3))
def test_every_unit_comes_once_an_epoch(units: int, batch: int, seed: int) -> None:
    drawn = [u for step in range(units) for u in batch_units(units, step, batch, seed)]
    assert len(drawn) == units * batch
    for epoch in range(batch):
        assert sorted(drawn[epoch * units : (epoch + 1) * units]) == list(range(units))


def test_pieces_hold_the_batch_and_the_budget(examples: Examples) -> None:
    options = FinetuneOptions(batch=7, micro_tokens=20, ensemble=2)
    batches = Batches(examples, options, torch.device("cpu"))
    batch = batches[1]
    assert sorted(u for piece in batch.pieces for u in piece) == sorted(batch_units(16, 1, 7, 0))
    pairs = [u for piece in batch.pieces for u in piece if u < 12]
    assert batch.pair_total == pytest.approx(examples.pair_weights[pairs].sum(), rel=1e-5)
    rows = [i for piece in batch.pieces for i in batches.rows(piece)]
    assert batch.label_totals.tolist() == [np.isfinite(examples.targets[rows, 0]).sum(), 0.0]
    piece = batch.pieces[0]
    utilities = torch.arange(3.0 * len(batches.rows(piece))).view(-1, 3)
    terms = batches.pair_terms(utilities, piece)
    assert torch.equal(terms.second - terms.first, torch.full((len(terms.soft), 3), 3.0))
    assert torch.all(terms.weights[:, 0] == torch.tensor(examples.pair_weights[[u for u in piece if u < 12]]).float())


def test_labels_of_an_answer_in_two_pairs_are_shared() -> None:
    one = from_sequences([[1, 2], [1, 3], [1, 4], [1, 5]])
    fields = given_fields(one)
    fields |= {"pairs": np.array([[0, 1], [0, 2]]), "objectives": ("love",), "targets": np.ones((4, 1))}
    fields |= {"weights": np.ones((4, 1)), "pair_weights": np.ones(2)}
    shared = Examples(**fields)
    assert shared.units == ((0, 1), (0, 2), (3,))
    assert shared.occurrences.tolist() == [2, 1, 1, 1]
    batch = Batches(shared, FinetuneOptions(batch=3), torch.device("cpu"))[0]
    assert batch.label_totals.tolist() == [4.0]


def test_the_bootstrap_goes_by_group(examples: Examples) -> None:
    weights = bootstrap_weights(make_examples(400, 0), 3, 0)
    assert np.all(weights[:, 0] == 1.0)
    assert np.array_equal(weights[::2], weights[1::2])
    assert weights[:, 1:].mean() == pytest.approx(1.0, abs=0.1)
    assert len(np.unique(weights[:, 1])) == 400


def test_what_cannot_be_learned_from_is_refused(examples: Examples) -> None:
    with pytest.raises(InvalidFinetuning, match="neither a pair nor a label"):
        from_sequences([])
    with pytest.raises(InvalidFinetuning, match="no tokens"):
        from_sequences([[1], []])
    fields = given_fields(examples)
    broken = examples.pair_weights.copy()
    broken[3] = np.nan
    with pytest.raises(InvalidFinetuning, match="pair_weights of row 3"):
        Examples(**{**fields, "pair_weights": broken})


@pytest.mark.parametrize(
    ("field", "value"),
    [("targets", np.inf), ("targets", -0.1), ("pair_soft", 0.4), ("flip_rates", 0.6), ("pair_weights", -1.0)],
)
def test_what_is_out_of_range_is_named(examples: Examples, field: str, value: float) -> None:
    broken = getattr(examples, field).copy()
    broken[3] = value
    with pytest.raises(InvalidFinetuning, match=f"{field} of row 3 is {value}"):
        Examples(**{**given_fields(examples), field: broken})


@pytest.mark.parametrize(
    "field", ["rank", "steps", "batch", "micro_tokens", "alpha", "learning_rate", "max_norm", "head_rate"]
)
def test_options_are_checked(field: str) -> None:
    with pytest.raises(InvalidFinetuning, match=field):
        FinetuneOptions(**{field: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["ensemble", "centring", "head_init", "label_weight", "warmup"])
def test_options_may_be_nothing_but_not_less(field: str) -> None:
    FinetuneOptions(**{field: 0})  # type: ignore[arg-type]
    with pytest.raises(InvalidFinetuning, match=field):
        FinetuneOptions(**{field: -1})  # type: ignore[arg-type]


def test_the_rate_rises_and_falls() -> None:
    options = FinetuneOptions(learning_rate=1.0, steps=10, warmup=2)
    assert [round(options.rate(step), 3) for step in (0, 1, 2, 6, 9)] == [0.333, 0.667, 1.0, 0.5, 0.125]
