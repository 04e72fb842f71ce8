"""Leading singular vectors of votes, whatever the votes look like."""

from typing import Any

import numpy as np
import structlog

from ingest.trust.evidence import Floats

ITERATIONS = 30

_log = structlog.get_logger(__name__)


def leading_vectors(matrix: Any, k: int, start: Floats) -> tuple[Floats, Floats]:
    """(left (rows, k), right (columns, k)) singular vectors of the k largest singular values, in no special order.

    `matrix`: sparse, or a LinearOperator; 0 < k < min(rows, columns). `start` (min(rows, columns),) begins ARPACK's
    iteration. Where many singular values are alike, as among people who have hardly an item in common, ARPACK may give
    up; then block power iteration (Halko, Martinsson & Tropp 2011, SIAM Review 53) comes near enough.
    """
    from scipy.sparse.linalg import ArpackError, svds

    try:
        left, _, right = svds(matrix, k=k, v0=start)
    except ArpackError as error:
        _log.info("leading_vectors_by_power_iteration", rows=matrix.shape[0], columns=matrix.shape[1], error=str(error))
        return _by_power_iteration(matrix, k)
    return np.asarray(left), np.asarray(right.T)


def _by_power_iteration(matrix: Any, k: int) -> tuple[Floats, Floats]:
    span = np.random.default_rng(0).normal(size=(matrix.shape[1], k))
    for _ in range(ITERATIONS):
        span, _ = np.linalg.qr(matrix.T @ (matrix @ span))
    left, _, turn = np.linalg.svd(matrix @ span, full_matrices=False)
    return left, span @ turn.T
