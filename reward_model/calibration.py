"""From a head's logit to a probability that means what it says. Pure numpy.

Calibrations are fitted on logits the head had not seen, with the labels' own weights; which kind is used is chosen by
cross-validation over whole groups, and a sigmoid wins ties. `KINDS` names them, simplest first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, isotonic_regression, minimize

from infra.contracts import PlauditError
from reward_model.contrast import fit_contrast
from reward_model.split import grouped_folds

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_FOLDS = 5
_SIGMOIDS = ("temperature", "platt")
_TIE = 2.0
"""Standard errors within which two kinds cannot be told apart."""
_PULL = 1.0
"""Rows that the pull of a sigmoid fit towards slope 1, offset 0 is worth."""


class InvalidCalibrationInput(PlauditError):
    """Logits, targets or weights that nothing can be calibrated on."""

    code = "invalid_calibration_input"
    status = 422


class UnknownCalibration(PlauditError):
    """A stored calibration that this version cannot read."""

    code = "unknown_calibration"


@dataclass(frozen=True)
class Platt:
    """p = s(slope x + offset) (Platt 1999), slope >= 0 so that no calibration turns a ranking round."""

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, logits: Array) -> Array:
        """Probabilities in (0, 1), same shape."""
        return np.asarray(sigmoid(self.slope * logits + self.offset))


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A map from logits to probabilities; a msgspec document, kept in a reward model's manifest.

    `kind` temperature: p = s(slope x) (Guo et al. 2017, slope = 1 / T); platt: p = s(slope x + offset) (Platt 1999);
    isotonic: linear between (`knots`, `levels`), which grow, constant outside them (centred isotonic regression, Oron &
    Flournoy 2017). Then, for every kind, logit(p) + `shift`: see `at_base_rate`. `contrast`: by how much differences
    between answers to one question exceed those of p (see `contrast`); it does not change p.
    """

    kind: str = "platt"
    slope: float = 1.0
    offset: float = 0.0
    knots: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()
    shift: float = 0.0
    contrast: float = 1.0

    def apply(self, logits: Array) -> Array:
        """Probabilities in [0, 1], same shape, never falling where logits rise."""
        x = np.asarray(logits, np.float64)
        if self.kind != "isotonic":
            return sigmoid(self.slope * x + self.offset + self.shift)
        p = np.interp(x, self.knots, self.levels)
        return np.asarray(p) if self.shift == 0.0 else sigmoid(logit(np.asarray(p)) + self.shift)

    def shifted(self, shift: float) -> "Calibration":
        """The same map with `shift` more on the scale of log-odds."""
        return msgspec.structs.replace(self, shift=self.shift + shift)

    def at_base_rate(self, fitted_rate: float, live_rate: float) -> "Calibration":
        """Corrected for training rows whose share of positives is not the live one (see `prior_shift`)."""
        return self.shifted(prior_shift(fitted_rate, live_rate))


Fitter = Callable[[Array, Array, Array], Calibration]
"""(logits [N], targets [N] in [0, 1], weights [N] > 0) -> Calibration."""


@dataclass(frozen=True)
class Choice:
    """`calibration` fitted on all rows; `losses[kind]` the cross-validated log-loss of each kind tried, nats a row,
    and `behind[kind]` (mean, standard error over groups) of its loss above the best kind's."""

    calibration: Calibration
    losses: dict[str, float]
    behind: dict[str, tuple[float, float]]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


def logit(p: Array) -> Array:
    """log p / (1 - p); +-inf at 1 and 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p) - np.log1p(-p))


def prior_shift(fitted_rate: float, live_rate: float) -> float:
    """log-odds to add where a head was fitted at base rate `fitted_rate` and is read at `live_rate`, both in (0, 1).

    logit(live) - logit(fitted): exact when rows were kept or weighted by their label alone, as when positives are
    upsampled to 10 % (Elkan 2001, theorem 2; King & Zeng 2001, eq. 7).
    """
    if not (0.0 < fitted_rate < 1.0 and 0.0 < live_rate < 1.0):
        raise InvalidCalibrationInput(
            f"base rates must lie strictly between 0 and 1, got {fitted_rate} in training and {live_rate} live: count "
            "both on labelled answers",
            field="live_rate",
        )
    return float(logit(np.array(live_rate)) - logit(np.array(fitted_rate)))


def shift_to_rate(probabilities: Array, weights: Array, rate: float) -> float:
    """The shift of log-odds after which the weighted mean of `probabilities` [N], in (0, 1), is `rate` in (0, 1).

    Calibration in the large for a population whose rate is known and whose single labels are not.
    """
    if not 0.0 < rate < 1.0 or not len(probabilities):
        raise InvalidCalibrationInput(f"a rate in (0, 1) and a row or more are needed, got {rate}", field="rate")
    x = logit(np.clip(probabilities, 1e-12, 1.0 - 1e-12))
    return float(brentq(lambda shift: float(np.average(sigmoid(x + shift), weights=weights)) - rate, -60.0, 60.0))


def fit_platt(logits: Array, targets: Array, weights: Array) -> Platt:
    """Slope and offset of least weighted cross-entropy on logits the head had not seen; all arrays [N].

    Targets are soft labels in [0, 1]. A pull of strength 1 (in rows) towards slope 1, offset 0 keeps small samples and
    separable ones finite, in the spirit of Platt's own smoothed targets.
    """
    return Platt(*_fit_sigmoid(logits, targets, weights, free_offset=True))


def fit_calibration(
    logits: Array, targets: Array, weights: Array, *, groups: Ints | None = None, seed: int = 0
) -> Calibration:
    """The calibration that `choose_calibration` comes to."""
    return choose_calibration(logits, targets, weights, groups=groups, seed=seed).calibration


def choose_calibration(
    logits: Array, targets: Array, weights: Array, *, groups: Ints | None = None, seed: int = 0
) -> Choice:
    """Fit each of `KINDS` out of fold and keep the sigmoid of the lesser log-loss, unless isotonic is surely better.

    logits [N] of a head that had not seen these rows, targets [N] in [0, 1], weights [N] >= 0, groups [N] (equal where
    rows are not independent: a conversation, a prompt, a person; None: all are). A sigmoid that is behind isotonic by
    at most two standard errors of the paired difference, clustered by group, ties with it and is kept (the one-
    standard-error rule of Breiman et al. 1984, but at 95 %). Between the two sigmoids no tie goes to the simpler one:
    an offset costs next to nothing, and a temperature without one pulls rare events towards 1/2. With fewer than two
    groups Platt's sigmoid is fitted untested. Raises InvalidCalibrationInput.
    """
    x, y, w = _checked(logits, targets, weights)
    kept = w > 0
    x, y, w = x[kept], y[kept], w[kept]
    g = np.arange(len(x)) if groups is None else np.asarray(groups)[kept]
    if len(np.unique(g)) < 2:
        return Choice(KINDS["platt"](x, y, w), {}, {})
    unseen = _out_of_fold(x, y, w, g, seed)
    losses = {kind: _cross_entropy(y, p) for kind, p in unseen.items()}
    means = {kind: float(np.average(loss, weights=w)) for kind, loss in losses.items()}
    best = min(means, key=lambda kind: means[kind])
    behind = {kind: _clustered_mean(loss - losses[best], w, g) for kind, loss in losses.items()}
    sigmoid_kind = min(_SIGMOIDS, key=lambda kind: means[kind])
    chosen = sigmoid_kind if behind[sigmoid_kind][0] <= _TIE * behind[sigmoid_kind][1] else best
    contrast = fit_contrast(unseen[chosen], y, w, g)
    return Choice(msgspec.structs.replace(KINDS[chosen](x, y, w), contrast=contrast), means, behind)


def calibration_of(document: Any) -> Calibration:
    """A stored calibration: a Calibration, its JSON document, or the (slope, offset) that older manifests hold.

    Raises UnknownCalibration for anything else, and for a kind that is not in `KINDS`.
    """
    try:
        if isinstance(document, list | tuple):
            slope, offset = document
            return Calibration(slope=float(slope), offset=float(offset))
        found = document if isinstance(document, Calibration) else msgspec.convert(document, Calibration)
    except (TypeError, ValueError) as error:
        raise UnknownCalibration(
            f"a calibration is a pair (slope, offset) or a document with a kind, got {document!r}: train again",
            field="calibration",
        ) from error
    if found.kind not in KINDS:
        raise UnknownCalibration(
            f"calibration kind {found.kind!r} is none of {', '.join(KINDS)}: read it with the version that wrote it, "
            "or train again",
            field="calibration.kind",
        )
    return found


def _temperature(logits: Array, targets: Array, weights: Array) -> Calibration:
    slope, _ = _fit_sigmoid(logits, targets, weights, free_offset=False)
    return Calibration(kind="temperature", slope=slope)


def _platt(logits: Array, targets: Array, weights: Array) -> Calibration:
    slope, offset = _fit_sigmoid(logits, targets, weights, free_offset=True)
    return Calibration(kind="platt", slope=slope, offset=offset)


def _isotonic(logits: Array, targets: Array, weights: Array) -> Calibration:
    """One knot at the centre of each pooled block; levels at least half a row away from 0 and 1."""
    x, index = np.unique(logits, return_inverse=True)
    mass = np.bincount(index, weights)
    fitted = isotonic_regression(np.bincount(index, weights * targets) / mass, weights=mass)
    starts = np.asarray(fitted.blocks[:-1], np.intp)
    centres = np.add.reduceat(mass * x, starts) / np.add.reduceat(mass, starts)
    least = 0.5 / (float(weights.sum()) ** 2 / float(np.square(weights).sum()) + 1.0)
    levels = np.clip(np.asarray(fitted.x)[starts], least, 1.0 - least)
    return Calibration(kind="isotonic", knots=tuple(centres.tolist()), levels=tuple(levels.tolist()))


KINDS: Mapping[str, Fitter] = MappingProxyType({"temperature": _temperature, "platt": _platt, "isotonic": _isotonic})
"""Kinds of calibration by name, simplest first."""


def _fit_sigmoid(logits: Array, targets: Array, weights: Array, *, free_offset: bool) -> tuple[float, float]:
    total = float(weights.sum())
    spread = float(np.std(logits)) or 1.0
    unit = logits / spread

    def objective(parameters: Array) -> tuple[float, Array]:
        slope, offset = parameters
        x = slope * unit + offset
        loss = weights @ (np.logaddexp(0.0, x) - targets * x) / total
        error = weights * (sigmoid(x) - targets) / total
        pull = 0.5 * _PULL * ((slope - spread) ** 2 + offset**2) / total
        gradient = [error @ unit + _PULL * (slope - spread) / total, error.sum() + _PULL * offset / total]
        return float(loss + pull), np.array(gradient)

    bounds = [(0.0, None), (None, None) if free_offset else (0.0, 0.0)]
    found = minimize(objective, np.array([spread, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0] / spread), float(found.x[1])


def _checked(logits: Array, targets: Array, weights: Array) -> tuple[Array, Array, Array]:
    x, y, w = (np.asarray(part, np.float64) for part in (logits, targets, weights))
    if not x.ndim == y.ndim == w.ndim == 1 or not len(x) == len(y) == len(w):
        raise InvalidCalibrationInput(
            f"logits {x.shape}, targets {y.shape} and weights {w.shape} must be three arrays [N]", field="logits"
        )
    rules = {
        "logits": (~np.isfinite(x), x, "finite"),
        "targets": (~((y >= 0) & (y <= 1)), y, "in [0, 1]"),
        "weights": (~((w >= 0) & np.isfinite(w)), w, "finite and not negative"),
    }
    for name, (broken, values, rule) in rules.items():
        if broken.any():
            row = int(np.argmax(broken))
            raise InvalidCalibrationInput(
                f"{name} must be {rule}, row {row} is {values[row]}: leave the row out or mend it", field=name
            )
    if not (w > 0).any():
        raise InvalidCalibrationInput("no row has a weight above 0: nothing to calibrate on", field="weights")
    return x, y, w


def _out_of_fold(x: Array, y: Array, w: Array, groups: Ints, seed: int) -> dict[str, Array]:
    """Probabilities [N] of each kind, each row's by a fit that saw no row of its group."""
    folds = grouped_folds(groups, min(_FOLDS, len(np.unique(groups))), seed)
    unseen = {kind: np.zeros(len(x)) for kind in KINDS}
    for fold in np.unique(folds):
        inside, outside = folds != fold, folds == fold
        for kind, fit in KINDS.items():
            unseen[kind][outside] = fit(x[inside], y[inside], w[inside]).apply(x[outside])
    return unseen


def _cross_entropy(targets: Array, probabilities: Array) -> Array:
    p = np.clip(probabilities, 1e-12, 1.0 - 1e-12)
    return np.asarray(-(targets * np.log(p) + (1.0 - targets) * np.log1p(-p)))


def _clustered_mean(values: Array, weights: Array, groups: Ints) -> tuple[float, float]:
    """Weighted mean of `values` [N] and its cluster-robust standard error."""
    mean = float(np.average(values, weights=weights))
    _, index = np.unique(groups, return_inverse=True)
    sums = np.bincount(index, weights * (values - mean))
    count = len(sums)
    return mean, float(np.sqrt(count / (count - 1) * np.square(sums).sum()) / weights.sum())
