"""Leading singular vectors: ARPACK's where it finds them, block power iteration's where it gives up."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg
from scipy.sparse import csr_array
from scipy.sparse.linalg import ArpackError, LinearOperator

from ingest.trust.blocks import find_blocks
from ingest.trust.leading import leading_vectors


def _give_up(*_: object, **__: object) -> None:
    raise ArpackError(3)


def _planted(rows: int, columns: int) -> Any:
    rng = np.random.default_rng(3)
    left, _ = np.linalg.qr(rng.normal(size=(rows, 3)))
    right, _ = np.linalg.qr(rng.normal(size=(columns, 3)))
    return left @ np.diag([9.0, 5.0, 2.0]) @ right.T + 0.01 * rng.normal(size=(rows, columns))


@pytest.mark.parametrize("shape", [(40, 25), (25, 40)])
@pytest.mark.parametrize("arpack", [True, False])
def test_the_planted_directions_are_found(
    shape: tuple[int, int], arpack: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not arpack:
        monkeypatch.setattr(scipy.sparse.linalg, "svds", _give_up)
    dense = _planted(*shape)
    operator = LinearOperator(shape, matvec=lambda x: dense @ x.ravel(), rmatvec=lambda y: dense.T @ y.ravel())
    for matrix in (csr_array(dense), operator):
        left, right = leading_vectors(matrix, 3, np.ones(min(shape)))
        assert (left.shape, right.shape) == ((shape[0], 3), (shape[1], 3))
        wanted_left, values, wanted_right = np.linalg.svd(dense)
        assert np.linalg.svd(left.T @ wanted_left[:, :3])[1] == pytest.approx(np.ones(3), abs=1e-6)
        assert np.linalg.svd(right.T @ wanted_right[:3].T)[1] == pytest.approx(np.ones(3), abs=1e-6)
        assert np.sort(np.linalg.norm(dense @ right, axis=0))[::-1] == pytest.approx(values[:3], rel=1e-6)


def test_blocks_are_found_also_when_arpack_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    person = np.concatenate([np.repeat(np.arange(300), 4), np.repeat(np.arange(300, 312), 10)])
    item = np.concatenate([rng.integers(0, 400, 1200), np.tile(np.arange(400, 410), 12)])
    weight = np.ones(312)
    found = find_blocks(person, item, weight, 312, 410, np.random.default_rng(1))
    monkeypatch.setattr(scipy.sparse.linalg, "svds", _give_up)
    again = find_blocks(person, item, weight, 312, 410, np.random.default_rng(1))
    assert set(range(300, 312)) <= set(found[0].people.tolist())
    assert again[0].people.tolist() == found[0].people.tolist()
