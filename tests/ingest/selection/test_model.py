"""The propensity model: stable folds, nobody judged by their own votes, the same bits out of the store."""

import msgspec
import numpy as np
import pytest

from ingest.selection.features import Covariates, fit_space, numbers
from ingest.selection.model import Linear, SelectionModel, fold_of, sigmoid
from tests.ingest.selection.simulation import simulate


@pytest.fixture(scope="module")
def population():  # type: ignore[no-untyped-def]
    made = simulate(7, people=400, answers=5)
    return made, made.fitted(folds=3)


def test_covariates_as_numbers() -> None:
    found = numbers(Covariates(hour=6.0, characters=0.0, prompt_characters=np.e - 1, turn=1.0, shown=8.0, voted=4.0))
    assert found["hour_sin"] == pytest.approx(1.0)
    assert found["hour_cos"] == pytest.approx(0.0, abs=1e-12)
    assert (found["length"], found["prompt"], found["turn"]) == (0.0, pytest.approx(1.0), 0.0)
    assert found["habit"] == pytest.approx(0.5)


def test_the_space_names_every_column_and_leaves_constants_alone() -> None:
    sample = [Covariates("mobile", 3.0 * i, 10.0 * i, 5.0, 1.0, "a@1" if i else "b@1") for i in range(6)]
    space = fit_space(sample)
    vector = space.vector(sample[0])
    assert len(vector) == len(space.names)
    assert dict(zip(space.names, vector, strict=True))["adapter=b@1"] == 1.0
    assert space.names[-3:] == ("adapter=a@1", "adapter=b@1", "asked")
    assert "prompt" in space.names
    assert not any(name.startswith("prompt>") for name in space.names)


def test_folds_are_stable_and_even() -> None:
    folds = [fold_of(f"person {i}", 5) for i in range(5000)]
    assert folds[:5] == [fold_of(f"person {i}", 5) for i in range(5)]
    assert np.bincount(folds).min() > 900


def test_each_person_is_judged_by_models_made_without_them(population) -> None:  # type: ignore[no-untyped-def]
    made, fitted = population
    told = "person-0"
    flipped = np.array([vote ^ (who == told) for vote, who in zip(made.voted, made.people, strict=True)])
    from ingest.selection.model import fit_selection

    opinions = np.where(flipped, np.nan_to_num(made.opinions, nan=1.0), np.nan)
    other = fit_selection(made.covariates, made.people, flipped, opinions, folds=3, clip=10.0).model
    fold = fold_of(told, 3)
    assert other.voting[fold] == fitted.model.voting[fold]
    assert all(other.voting[k] != fitted.model.voting[k] for k in range(3) if k != fold)


def test_a_stored_model_gives_the_same_bits(population) -> None:  # type: ignore[no-untyped-def]
    made, fitted = population
    again = msgspec.convert(msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(fitted.model))), SelectionModel)
    for covariates, person in zip(made.covariates[:50], made.people[:50], strict=True):
        assert again.propensity(covariates, person) == fitted.model.propensity(covariates, person)
        assert again.weight(covariates, person) == fitted.model.weight(covariates, person)


def test_it_is_calibrated_and_weights_average_one_among_voters(population) -> None:  # type: ignore[no-untyped-def]
    made, fitted = population
    predicted = np.array([fitted.model.propensity(*one) for one in zip(made.covariates, made.people, strict=True)])
    assert predicted.mean() == pytest.approx(made.voted.mean(), abs=0.005)
    high = predicted > np.median(predicted)
    assert made.voted[high].mean() == pytest.approx(predicted[high].mean(), abs=0.04)
    weights = [fitted.model.weight(c, p) for c, p, v in zip(made.covariates, made.people, made.voted, strict=True) if v]
    assert np.mean(weights) == pytest.approx(1.0, abs=0.15)
    assert max(weights) <= 10.0


def test_sums_and_sigmoid() -> None:
    assert Linear(1.0, (2.0, -3.0)).at([0.5, 1.0]) == -1.0
    assert sigmoid(0.0) == 0.5
    assert 0 < sigmoid(-1e9) < sigmoid(1e9) <= 1
