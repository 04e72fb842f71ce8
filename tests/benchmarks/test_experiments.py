"""The experiments' benchmark itself: verdicts that can fail, and rare errors counted by importance sampling."""

from typing import Any

import numpy as np
import pytest

from tests.benchmarks.bench_experiments import tasks_again
from tests.benchmarks.experiments_grid import cells, measure
from tests.benchmarks.experiments_stream import library, null_errors
from tests.benchmarks.experiments_verdicts import Verdict, verdicts


def _kept(upper: float, change: float = 0.0) -> dict[str, Any]:
    """Figures of every cell, and of brigading."""
    figures = {test: {"rate": upper - 0.004, "upper": upper} for test in ("betting", "rollback")}
    grid = {cell.name: figures for cell in cells(full=True)}
    rates = {"per_person": 0.04 + change, "per_person_without": 0.04, "per_vote": 1.0}
    return {"grid": grid, "attacks": {"brigading": rates}}


def _of(kept: dict[str, Any], what: str) -> Verdict:
    return next(each for each in verdicts(kept) if each.what.startswith(what))


@pytest.mark.parametrize(("upper", "met"), [(0.05, True), (0.0501, False)])
def test_one_cell_above_its_bound_is_enough(upper: float, met: bool) -> None:
    kept = _kept(0.04)
    name = "0.1 | 50 % | ratio | margin"
    kept["grid"] |= {name: {"betting": {"rate": 0.045, "upper": upper}}}
    found = _of(kept, "false passes")
    assert found.met is met
    assert name in found.measured
    assert _of(kept, "false rollbacks").met


def test_what_was_not_measured_is_not_met() -> None:
    kept = _kept(0.04)
    del kept["grid"]["0.5 | 1 % | clustered | worse"]
    assert _of(kept, "false promotions, challenger worse").met is None
    assert {each.met for each in verdicts({})} == {None}


def test_a_change_in_either_direction_counts() -> None:
    assert _of(_kept(0.04, 0.009), "20 of 4,000").met
    assert not _of(_kept(0.04, -0.011), "20 of 4,000").met


def test_one_test_is_measured_anew_on_the_same_histories() -> None:
    cell = next(cell for cell in cells(full=False) if cell.truth == "equal")
    whole = measure(cell, 6)
    assert measure(cell, 6, "asymptotic") == {name: whole[name] for name in ("people", "asymptotic")}
    case = "unbounded +.02 sd .1, covariate r = .5"
    kept = {"grid": {cell.name: whole}, "speed": {case: {"asymptotic": {}}, ".95 -> .90 at 5 %": {"betting": {}}}}
    again = tasks_again("asymptotic", False, 100, kept)
    assert [(part, name) for part, name, _function, _arguments in again] == [("speed", case), ("grid", cell.name)]
    assert tasks_again("two-arm, blocks of 20", False, 100, kept) == []


def test_rare_errors_by_importance_sampling() -> None:
    """Against counting, where counting can: an equal challenger that ever reaches 5 and 20."""
    need = np.log([5.0, 20.0, 2000.0])
    found, error = null_errors(need, 150)
    paths = library(False, 300)
    counted = (paths.max(axis=1)[:, None] >= need).mean(axis=0)
    assert np.all(found <= np.exp(-need) + 3 * error), "Ville's inequality"
    assert np.all(error < 0.15 * found)
    assert found[:2] == pytest.approx(counted[:2], abs=0.08)
