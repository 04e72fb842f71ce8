"""Calibrations recover what made the labels, the simplest sufficient one is chosen, and old manifests still load."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from reward_model.calibration import (
    KINDS,
    Calibration,
    InvalidCalibrationInput,
    Platt,
    UnknownCalibration,
    calibration_of,
    choose_calibration,
    fit_calibration,
    fit_platt,
    logit,
    prior_shift,
    shift_to_rate,
    sigmoid,
)

Array = NDArray[np.float64]
Drawn = tuple[Array, Array, Array]


def drawn(slope: float, offset: float, count: int = 8000, seed: int = 0) -> Drawn:
    """Logits, hard labels whose log-odds are slope x + offset, and weights of 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, count)
    return logits, (rng.random(count) < sigmoid(slope * logits + offset)).astype(float), np.ones(count)


def test_recovers_slope_and_offset() -> None:
    found = fit_platt(*drawn(0.5, -1.0, 20_000))
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.offset == pytest.approx(-1.0, abs=0.05)


def test_soft_targets_are_probabilities() -> None:
    logits = np.linspace(-3, 3, 500)
    found = fit_platt(logits, sigmoid(2.0 * logits + 0.5), np.ones(500))
    assert found.slope == pytest.approx(2.0, abs=0.1)
    assert found.offset == pytest.approx(0.5, abs=0.05)


def test_separable_labels_stay_finite() -> None:
    found = fit_platt(np.array([-1.0, -0.5, 0.5, 1.0]), np.array([0.0, 0, 1, 1]), np.ones(4))
    assert 0 < found.slope < 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_ranking_is_never_turned_round(kind: str) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=500)
    found = KINDS[kind](logits, (logits < 0).astype(float), np.ones(500))
    assert found.apply(logits) == pytest.approx(0.5, abs=0.06)


def test_weights_count_as_copies() -> None:
    logits, targets = np.array([-1.0, 0.3, 2.0, -0.2]), np.array([0.0, 1.0, 1.0, 1.0])
    twice = fit_platt(np.tile(logits, 2), np.tile(targets, 2), np.ones(8))
    weighted = fit_platt(logits, targets, np.full(4, 2.0))
    assert weighted.slope == pytest.approx(twice.slope, abs=1e-4)
    assert weighted.offset == pytest.approx(twice.offset, abs=1e-4)


def test_apply_by_hand() -> None:
    assert Platt(2.0, 1.0).apply(np.array([-0.5, 0.0])) == pytest.approx([0.5, 1 / (1 + np.exp(-1.0))])
    assert Calibration(slope=2.0, offset=1.0).apply(np.array([-0.5])) == pytest.approx([0.5])
    steps = Calibration(kind="isotonic", knots=(-1.0, 1.0), levels=(0.2, 0.6))
    assert steps.apply(np.array([-9.0, -1.0, 0.0, 1.0, 9.0])) == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.6])


def test_isotonic_by_hand() -> None:
    """Pooling adjacent violators of 0, 1, 0, 1 leaves 0, 1/2, 1/2, 1; ends are half a row of five away from 0 and 1."""
    found = KINDS["isotonic"](np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1, 0, 1]), np.ones(4))
    assert found.knots == pytest.approx((0.0, 1.5, 3.0))
    assert found.levels == pytest.approx((0.1, 0.5, 0.9))


def test_isotonic_levels_are_scikit_learn_s() -> None:
    rng = np.random.default_rng(3)
    logits, weights = np.round(rng.normal(size=400), 1), rng.uniform(0.5, 2, 400)
    targets = (rng.random(400) < sigmoid(logits)).astype(float)
    found = KINDS["isotonic"](logits, targets, weights)
    least = found.levels[0] if found.levels[0] < 0.01 else 0.0
    theirs = IsotonicRegression().fit(logits, targets, sample_weight=weights)
    expected = np.unique(np.clip(theirs.predict(np.unique(logits)), least, 1 - least))
    assert found.levels == pytest.approx(tuple(expected), abs=2e-3)


def test_a_scaled_sigmoid_needs_no_more_than_a_sigmoid() -> None:
    choice = choose_calibration(*drawn(0.5, 0.0))
    assert choice.calibration.kind == min(("temperature", "platt"), key=lambda kind: choice.losses[kind])
    assert choice.calibration.slope == pytest.approx(0.5, abs=0.03)
    assert choice.calibration.offset == pytest.approx(0.0, abs=0.05)


def test_a_small_offset_is_not_given_up_to_a_tie() -> None:
    """Rare events, few groups: temperature cannot be told from Platt by twice its error, and is worse all the same."""
    rng = np.random.default_rng(12)
    groups = np.repeat(np.arange(60), 40)
    logits = rng.normal(-2.2, 0.8, 2400)
    targets = (rng.random(2400) < sigmoid(1.5 * logits + 1.0 + rng.normal(0, 0.6, 60)[groups])).astype(float)
    choice = choose_calibration(logits, targets, np.ones(2400), groups=groups)
    assert 0 < choice.behind["temperature"][0] < 2 * choice.behind["temperature"][1]
    assert choice.calibration.kind == "platt"


def test_an_offset_needs_platt() -> None:
    choice = choose_calibration(*drawn(0.5, -1.0))
    assert choice.calibration.kind == "platt"
    assert choice.behind["temperature"][0] > 3 * choice.behind["temperature"][1]


def test_a_bent_curve_needs_isotonic() -> None:
    rng = np.random.default_rng(1)
    logits = rng.uniform(-4, 4, 10_000)
    truth = np.where(logits < 0, 0.1, np.where(logits < 2, 0.3, 0.9))
    targets = (rng.random(10_000) < truth).astype(float)
    found = fit_calibration(logits, targets, np.ones(10_000))
    assert found.kind == "isotonic"
    fresh = rng.uniform(-4, 4, 1000)
    expected = np.where(fresh < 0, 0.1, np.where(fresh < 2, 0.3, 0.9))
    assert np.median(np.abs(found.apply(fresh) - expected)) < 0.02


def test_copies_of_a_few_people_do_not_buy_a_finer_curve() -> None:
    """30 people, their one opinion repeated 100 times: row by row isotonic would win by memorising."""
    rng = np.random.default_rng(2)
    own = rng.normal(size=30)
    targets = np.repeat((rng.random(30) < sigmoid(own)).astype(float), 100)
    logits, people = np.repeat(own, 100) + rng.normal(0, 1e-3, 3000), np.repeat(np.arange(30), 100)
    assert fit_calibration(logits, targets, np.ones(3000)).kind == "isotonic"
    assert fit_calibration(logits, targets, np.ones(3000), groups=people).kind in {"temperature", "platt"}


def test_one_group_gets_platt_untested() -> None:
    choice = choose_calibration(*drawn(0.5, -1.0, 50), groups=np.zeros(50, np.int64))
    assert (choice.calibration.kind, choice.losses) == ("platt", {})


def test_rows_without_weight_do_not_count() -> None:
    logits, targets, weights = drawn(0.7, -0.5, 600)
    with_noise = np.concatenate([logits, logits]), np.concatenate([targets, 1 - targets])
    found = fit_calibration(*with_noise, np.concatenate([weights, 0 * weights]))
    assert found == fit_calibration(logits, targets, weights)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("logits", np.nan, "row 2 is nan"), ("targets", 1.5, "row 2 is 1.5"), ("weights", -1.0, "row 2 is -1.0")],
)
def test_a_broken_row_is_named(field: str, value: float, said: str) -> None:
    columns = dict(zip(("logits", "targets", "weights"), drawn(1.0, 0.0, 20), strict=True))
    columns[field][2] = value
    with pytest.raises(InvalidCalibrationInput, match=said) as caught:
        fit_calibration(columns["logits"], columns["targets"], columns["weights"])
    assert caught.value.field == field


def test_unequal_lengths_and_no_weight_are_refused() -> None:
    with pytest.raises(InvalidCalibrationInput, match="three arrays"):
        fit_calibration(np.zeros(3), np.zeros(2), np.ones(3))
    with pytest.raises(InvalidCalibrationInput, match="no row"):
        fit_calibration(np.zeros(3), np.zeros(3), np.zeros(3))


def test_upsampled_positives_come_back_to_the_live_rate() -> None:
    """Negatives thinned to one in nine, as where positives are upsampled: the shift is what thinning changed."""
    rng = np.random.default_rng(5)
    logits = rng.normal(-3, 1.5, 200_000)
    targets = (rng.random(200_000) < sigmoid(logits)).astype(float)
    kept = (targets == 1) | (rng.random(200_000) < 1 / 9)
    found = fit_calibration(logits[kept][:20_000], targets[kept][:20_000], np.ones(20_000))
    corrected = found.at_base_rate(float(targets[kept].mean()), float(targets.mean()))
    assert found.apply(logits).mean() > 2.5 * targets.mean()
    assert corrected.apply(logits).mean() == pytest.approx(targets.mean(), rel=0.05)
    assert np.sqrt(np.mean((corrected.apply(logits) - sigmoid(logits)) ** 2)) < 0.01


def test_prior_shift_by_hand() -> None:
    assert prior_shift(0.5, 0.2) == pytest.approx(np.log(0.25))
    with pytest.raises(InvalidCalibrationInput):
        prior_shift(0.0, 0.2)


def test_shift_to_rate_meets_the_rate() -> None:
    p = np.array([0.1, 0.4, 0.9])
    weights = np.array([1.0, 2.0, 1.0])
    shift = shift_to_rate(p, weights, 0.3)
    assert np.average(sigmoid(logit(p) + shift), weights=weights) == pytest.approx(0.3)
    with pytest.raises(InvalidCalibrationInput):
        shift_to_rate(p, weights, 1.0)


def test_a_shift_moves_isotonic_too() -> None:
    steps = Calibration(kind="isotonic", knots=(0.0, 1.0), levels=(0.2, 0.5)).shifted(np.log(4.0))
    assert steps.apply(np.array([0.0, 1.0])) == pytest.approx([0.5, 0.8])


def test_documents_come_back() -> None:
    for kind in KINDS:
        found = KINDS[kind](*drawn(0.5, -1.0, 200)).shifted(0.25)
        assert calibration_of(msgspec.json.decode(msgspec.json.encode(found))) == found
        assert calibration_of(found) is found


def test_old_manifests_hold_a_pair() -> None:
    assert calibration_of([0.5, -1.0]) == Calibration(slope=0.5, offset=-1.0)
    logits = np.linspace(-2, 2, 5)
    assert calibration_of((0.5, -1.0)).apply(logits) == pytest.approx(Platt(0.5, -1.0).apply(logits))


@pytest.mark.parametrize("document", [[1.0], "platt", {"kind": "beta"}, {"slope": "x"}, None])
def test_what_is_no_calibration_is_refused(document: object) -> None:
    with pytest.raises(UnknownCalibration):
        calibration_of(document)


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid(np.array([-1e4, 1e4])).tolist() == [0.0, 1.0]


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.float64, 30, elements=st.floats(-20, 20)),
    arrays(np.float64, 30, elements=st.floats(0, 1)),
    arrays(np.float64, 30, elements=st.floats(0.01, 10)),
    st.sampled_from(sorted(KINDS)),
)
def test_every_kind_rises_and_stays_within_bounds(logits, targets, weights, kind) -> None:  # type: ignore[no-untyped-def]
    found = KINDS[kind](logits, targets, weights)
    seen = found.apply(np.sort(np.concatenate([logits, [-50.0, 50.0]])))
    assert np.isfinite(seen).all()
    assert seen.min() >= 0.0
    assert seen.max() <= 1.0
    assert np.diff(seen).min() >= -1e-12


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(sorted(KINDS)))
def test_order_of_rows_does_not_matter(random, kind) -> None:  # type: ignore[no-untyped-def]
    logits, targets, weights = drawn(0.8, -0.3, 60)
    order = random.sample(range(60), 60)
    one = KINDS[kind](logits, targets, weights).apply(logits)
    other = KINDS[kind](logits[order], targets[order], weights).apply(logits)
    assert one == pytest.approx(other, abs=1e-5)
