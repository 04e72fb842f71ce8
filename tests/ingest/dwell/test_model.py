"""Reading times: values by hand, a fit that finds what made the data, and what tabs left open cannot bend."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.dwell.model import ALL_DEVICES, QUANTILES, DeviceModel, DwellModel, counts, fit, kind_of, share_below

STEPS = tuple(i / 100 - 0.5 for i in range(QUANTILES))  # residuals spread evenly over [-0.5, 0.5]
DEVICE = DeviceModel(intercept=0.0, slope=1.0, scale=0.3, quantiles=STEPS, readings=500)
MODEL = DwellModel({ALL_DEVICES: DEVICE}, bounce_seconds=1.0, abandoned_seconds=600.0, cap_quantile=0.9)


@pytest.mark.parametrize(
    ("seconds", "tokens", "value"),
    [
        (20.0, 20.0, 0.5),  # residual 0: the median reader
        (20.0 * math.exp(0.25), 20.0, 0.75),
        (20.0 * math.exp(-0.25), 20.0, 0.25),
        (20.0 * math.exp(0.45), 20.0, 0.9),  # the cap
        (590.0, 20.0, 0.9),
        (2.0, 20.0, 0.0),
        (0.5, 20.0, 0.0),  # a bounce
        (0.0, 20.0, 0.0),
        (601.0, 20.0, None),  # a tab left open
        (40.0, 40.0, 0.5),  # twice as long for twice the length is the median reader again
    ],
)
def test_values(seconds: float, tokens: float, value: float | None) -> None:
    assert MODEL.value(seconds, tokens, "mobile") == (None if value is None else pytest.approx(value))


def test_a_device_with_a_model_of_its_own_uses_it() -> None:
    slow = DeviceModel(math.log(2.0), 1.0, 0.3, STEPS, 500)
    model = DwellModel({ALL_DEVICES: DEVICE, "mobile": slow}, 1.0, 600.0, 0.9)
    assert model.value(40.0, 20.0, "mobile") == pytest.approx(0.5)
    assert model.value(20.0, 20.0, "desktop") == pytest.approx(0.5)
    assert model.value(20.0, 20.0, None) == pytest.approx(0.5)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=50), st.floats(-6, 6))
def test_the_share_below_agrees_with_interpolation(numbers: list[float], value: float) -> None:
    quantiles = tuple(sorted(numbers))
    got = share_below(quantiles, value)
    assert 0.0 <= got <= 1.0
    below, at_most = sum(q < value for q in quantiles) - 1, sum(q <= value for q in quantiles)
    assert below / (len(quantiles) - 1) - 1e-9 <= got <= at_most / (len(quantiles) - 1) + 1e-9


def simulated(slope: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray, list[str]]:
    draw = np.random.default_rng(3)
    tokens = np.exp(draw.uniform(3, 6, n))
    devices = ["mobile" if one else "desktop" for one in draw.random(n) < 0.5]
    extra = np.where(np.array(devices) == "mobile", 0.4, 0.0)
    seconds = np.exp(-2.0 + slope * np.log(tokens) + extra + draw.normal(0, 0.5, n))
    return seconds, tokens, devices


def fitted(seconds: np.ndarray, tokens: np.ndarray, devices: list[str], abandoned: float = 1e9) -> DwellModel:
    model = fit(
        seconds, tokens, devices, min_readings=100, bounce_seconds=0.01, abandoned_seconds=abandoned, cap_quantile=1.0
    )
    assert model is not None
    return model


def test_the_fit_finds_what_made_the_times_and_the_value_no_longer_follows_length() -> None:
    seconds, tokens, devices = simulated(slope=0.8)
    model = fitted(seconds, tokens, devices)
    assert model.devices["desktop"].slope == pytest.approx(0.8, abs=0.04)
    assert model.devices["mobile"].intercept == pytest.approx(-1.6, abs=0.2)
    values = np.array([model.value(*one) for one in zip(seconds, tokens, devices, strict=True)], dtype=float)
    assert abs(np.corrcoef(values, np.log(tokens))[0, 1]) < 0.02
    assert values.mean() == pytest.approx(0.5, abs=0.01)
    assert abs(values[np.array(devices) == "mobile"].mean() - 0.5) < 0.01


def test_tabs_left_open_do_not_bend_it() -> None:
    seconds, tokens, devices = simulated(slope=0.8)
    left_open = seconds.copy()
    left_open[tokens > 150] *= np.where(np.random.default_rng(4).random((tokens > 150).sum()) < 0.1, 200.0, 1.0)
    assert fitted(left_open, tokens, devices).devices["desktop"].slope == pytest.approx(0.8, abs=0.08)
    ordinary = np.polyfit(np.log(tokens), np.log(left_open), 1)[0]
    assert ordinary > 0.9  # least squares would have been bent


def test_too_few_readings_make_no_model_and_kinds_are_counted() -> None:
    seconds = np.array([0.5, 30.0, 5000.0])
    assert (
        fit(
            seconds,
            np.array([10.0] * 3),
            ["all"] * 3,
            min_readings=2,
            bounce_seconds=1.0,
            abandoned_seconds=1800.0,
            cap_quantile=0.9,
        )
        is None
    )
    assert counts(seconds, 1.0, 1800.0) == {"read": 1, "bounce": 1, "abandoned": 1}
    assert kind_of(0.0, 0.0, 10.0) == "bounce"


def test_one_length_explains_nothing() -> None:
    model = fitted(np.exp(np.random.default_rng(1).normal(2, 0.3, 500)), np.full(500, 50.0), ["desktop"] * 500)
    assert model.devices["desktop"].slope == 0.0
    assert model.value(math.exp(2.0), 50.0, "desktop") == pytest.approx(0.5, abs=0.05)
