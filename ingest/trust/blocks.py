"""Blocks: a set of people who vote on a set of items far more than the activity of the ones and the popularity of the
others explain. What finds rings that spread their votes so widely that no two of their accounts look alike.

Expected under the null that preserves activity and popularity: e(S, T) = sum_{u in S} d_u sum_{i in T} q_i, q the
popularity, sum q = 1. Score of a block: Kulldorff's log-likelihood ratio, o ln(o / e) - (o - e) for o > e. For a fixed
S the best T is a prefix of the items sorted by o_i / e_i, and for a fixed T the best S likewise (linear-time subset
scanning, Neill 2012, J. R. Stat. Soc. B 74), so the two are improved in turn from many beginnings. How high the score
gets by chance is found by doing the same to votes whose items are shuffled.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ingest.trust.evidence import Floats, Ints
from ingest.trust.leading import leading_vectors

TURNS = 12
"""Most improvements of either side from one beginning."""
BEGINNINGS = 24
SHUFFLES = 4
MARGIN = 1.25
"""A block must score this many times what shuffled votes gave at most."""
MOST_BLOCKS = 12
COMMUNITY = 0.2


@dataclass(frozen=True)
class Block:
    """`people` and `items` (sorted numbers), the score in nats, and what shuffled votes reached."""

    people: Ints
    items: Ints
    score: float
    chance: float


def find_blocks(
    person: Ints, item: Ints, weight: Floats, people: int, items: int, rng: np.random.Generator
) -> list[Block]:
    """Blocks beyond chance, the strongest first; the people of each are set aside before the next is looked for. A
    block of more than COMMUNITY of all people is a community of its own: it is searched once more from within. A
    block is no accusation: later ones may be echoes of the first, since those set aside leave a gap.

    `person`, `item` (n,): votes. `weight` (people,): what a person's votes count in popularity (see `rings`).
    """
    found = _search(person, item, weight, people, items, rng)
    voters = len(np.unique(person))
    for block in [block for block in found if len(block.people) > COMMUNITY * voters]:
        within = np.isin(person, block.people)
        found += _search(person[within], item[within], weight, people, items, rng)
    return found


def _search(person: Ints, item: Ints, weight: Floats, people: int, items: int, rng: np.random.Generator) -> list[Block]:
    found: list[Block] = []
    chance = 0.0
    while len(person) and len(found) < MOST_BLOCKS:
        popularity = _popularity(person, item, weight, items)
        if not found:
            shuffled = (_best(person, rng.permutation(item), popularity, people, rng) for _ in range(SHUFFLES))
            chance = max(block.score for block in shuffled)
        best = _best(person, item, popularity, people, rng)
        if best.score <= MARGIN * chance:
            break
        found.append(Block(best.people, best.items, best.score, chance))
        others = ~np.isin(person, best.people)
        person, item = person[others], item[others]
    return found


def _popularity(person: Ints, item: Ints, weight: Floats, items: int) -> Floats:
    votes = np.bincount(item, weights=weight[person], minlength=items)
    return np.asarray(votes / votes.sum(), np.float64)


def _best(person: Ints, item: Ints, popularity: Floats, people: int, rng: np.random.Generator) -> Block:
    """The best block from all beginnings."""
    from scipy.sparse import csr_array

    matrix = csr_array((np.ones(len(person)), (person, item)), shape=(people, len(popularity)))
    matrix.data[:] = 1.0
    active = np.bincount(person, minlength=people).astype(float)
    best = Block(np.zeros(0, np.int64), np.zeros(0, np.int64), 0.0, 0.0)
    for beginning in _beginnings(matrix, active, popularity, rng):
        block = _improve(matrix, active, popularity, beginning)
        if block.score > best.score:
            best = block
    return best


def _beginnings(matrix: Any, active: Floats, popularity: Floats, rng: np.random.Generator) -> list[Ints]:
    """Sets of people to begin with: those who lean together by the leading directions of the Pearson residuals, and the
    most active people each with those who share most with them."""
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import LinearOperator

    rows, columns = 1.0 / np.sqrt(np.maximum(active, 1.0)), 1.0 / np.sqrt(np.maximum(popularity, 1e-12))
    columns[popularity == 0.0] = 0.0
    scaled = diags_array(rows) @ matrix @ diags_array(columns)
    left, right = np.sqrt(active), np.sqrt(popularity)
    residual = LinearOperator(
        matrix.shape,
        matvec=lambda x: scaled @ x.ravel() - left * float(right @ x.ravel()),
        rmatvec=lambda y: scaled.T @ y.ravel() - right * float(left @ y.ravel()),
        dtype=np.float64,
    )
    size = max(4, len(active) // 25)
    sets = []
    k = min(6, min(matrix.shape) - 1)
    if k >= 1:
        directions, _ = leading_vectors(residual, k, rng.normal(size=min(matrix.shape)))
        for direction in directions.T:
            sets += [np.argsort(-sign * direction, kind="stable")[:size] for sign in (1.0, -1.0)]
    for person in np.argsort(-active, kind="stable")[: BEGINNINGS - len(sets)]:
        shared = matrix @ (matrix[[person]].toarray()[0] * columns)
        sets.append(np.argsort(-shared * rows, kind="stable")[:size])
    return sets


def _improve(matrix: Any, active: Floats, popularity: Floats, people: Ints) -> Block:
    """The block reached from `people` by improving items and people in turn."""
    before = -1.0
    items = np.zeros(0, np.int64)
    score = 0.0
    for _ in range(TURNS):
        member = np.zeros(len(active))
        member[people] = 1.0
        seen = matrix.T @ member
        seen[seen < 2] = 0.0  # an item only one of them voted on says nothing about the others
        items, _ = _prefix(seen, float(active[people].sum()) * popularity)
        target = np.zeros(len(popularity))
        target[items] = 1.0
        people, score = _prefix(matrix @ target, active * float(popularity[items].sum()))
        if score <= before + 1e-9 or not len(people):
            break
        before = score
    return Block(np.sort(people), np.sort(items), score, 0.0)


def _prefix(observed: Floats, expected: Floats) -> tuple[Ints, float]:
    """The subset with the greatest log-likelihood ratio, and the ratio."""
    some = np.flatnonzero(observed > 0)
    if not len(some):
        return some, 0.0
    order = some[np.argsort(-observed[some] / np.maximum(expected[some], 1e-12), kind="stable")]
    o, e = np.cumsum(observed[order]), np.maximum(np.cumsum(expected[order]), 1e-12)
    score = np.where(o > e, o * np.log(o / e) - (o - e), 0.0)
    best = int(np.argmax(score))
    return order[: best + 1], float(score[best])
