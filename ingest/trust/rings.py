"""Rings: people who vote on the same answers more than popularity explains, and with one voice.

Two steps. Links: the number of items two people share is compared with what a null that keeps everybody's activity and
every item's popularity gives (a Poisson of mean sum_i mu_ui mu_vi, mu_ui = d_u d_i / M); linked are the pairs that
survive Benjamini and Hochberg's (1995) bound on false discoveries. Bins may be items, or items within a slot of time.
Groups are the connected components. Being linked is no offence: colleagues see the same answers. Voice: a group is a
ring if its members agree with each other on these items far more than with outsiders of their own taste who voted on
them, `unanimity` = (A_in - A_out) / (1 - A_out), and surely so.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.trust.evidence import Evidence, Floats, Ints, sums

WIDEST_BIN = 2000
"""Bins with more people are left out of the search for links: everybody meets there, and pairs grow with the square."""
ROWS_AT_ONCE = 1000
FEWEST_ITEMS = 5
"""Items with members' and outsiders' votes that a judgement about a group's voice needs."""
SURE = 5.0
"""Standard errors by which members must agree with each other more than with outsiders."""


@dataclass(frozen=True)
class Links:
    """Pairs voting together: `one`, `other` (pairs,), bins `shared`, and how many the null `expected`."""

    one: Ints
    other: Ints
    shared: Ints
    expected: Floats


@dataclass(frozen=True)
class Voice:
    """How a group votes where outsiders vote too: `inside`, `outside` agreement in [0, 1], over `items` items;
    `errors`: the mean difference in its standard errors."""

    inside: float
    outside: float
    items: int
    errors: float

    @property
    def unanimity(self) -> float:
        """Share of the disagreement expected from outsiders that is missing; 0 where nothing could be missing."""
        return (self.inside - self.outside) / (1.0 - self.outside) if self.outside < 0.99 else 0.0


def find_links(person: Ints, bins: Ints, weight: Floats, people: int, level: float, fewest: int) -> Links:
    """Pairs who share at least `fewest` bins, and more than popularity explains at false discovery rate `level`.

    `person`, `bins` (n,): who is in which bin; repetitions count once. `weight` (people,): what a person counts in the
    popularity of a bin (capped, or those who vote most make their own targets popular).
    """
    from scipy.sparse import csr_array
    from scipy.stats import poisson

    keys = np.unique(person * np.int64(bins.max() + 1 if len(bins) else 1) + bins)
    who, where = np.divmod(keys, bins.max() + 1 if len(bins) else 1)
    popular = sums(where, weight[who], int(where.max()) + 1 if len(where) else 1)
    kept = np.bincount(where, minlength=len(popular))[where] <= WIDEST_BIN
    who, where = who[kept], where[kept]
    if not len(who):
        nobody = np.zeros(0, np.int64)
        return Links(nobody, nobody, nobody, np.zeros(0))
    matrix = csr_array((np.ones(len(who)), (who, where)), shape=(people, len(popular)))
    one, other, shared = _together(matrix, fewest)
    active = np.bincount(who, minlength=people).astype(float)
    mass = popular[np.bincount(where, minlength=len(popular)) > 0].sum()
    meeting = float(((popular / mass) ** 2).sum())
    expected = active[one] * active[other] * meeting
    p = poisson.sf(shared - 1, expected)
    voters = int((active > 0).sum())
    chosen = _discoveries(p, voters * (voters - 1) // 2, level)
    return Links(one[chosen], other[chosen], shared[chosen], expected[chosen])


def _together(matrix: Any, fewest: int) -> tuple[Ints, Ints, Ints]:
    """Pairs of rows of a 0/1 matrix that share `fewest` columns or more, and how many; some rows at a time, because all
    pairs that share anything would not fit into memory."""
    from scipy.sparse import coo_array

    able = np.flatnonzero(np.asarray(matrix.sum(axis=1)).ravel() >= fewest)
    those = matrix[able]
    other_way = those.T.tocsr()
    parts = []
    for begin in range(0, len(able), ROWS_AT_ONCE):
        block = coo_array(those[begin : begin + ROWS_AT_ONCE] @ other_way)
        row, column = block.row + begin, block.col
        enough = (block.data >= fewest) & (row < column)
        parts.append((able[row[enough]], able[column[enough]], block.data[enough].astype(np.int64)))
    if not parts:
        nobody = np.zeros(0, np.int64)
        return nobody, nobody, nobody
    one, other, shared = (np.concatenate(column) for column in zip(*parts, strict=True))
    return one.astype(np.int64), other.astype(np.int64), shared


def _discoveries(p: Floats, tests: int, level: float) -> NDArray[np.bool_]:
    """Benjamini and Hochberg among `tests` tests, of which those not in `p` found nothing."""
    order = np.sort(p)
    passed = order <= level * np.arange(1, len(p) + 1) / max(tests, 1)
    return np.asarray(p <= (order[np.flatnonzero(passed)[-1]] if passed.any() else -1.0))


def groups_of(links: list[Links], people: int, smallest: int) -> list[Ints]:
    """Connected components of the links of at least `smallest` people, sorted; each member linked to two others or,
    in a large group, to one in twenty of it: one chance link draws nobody in."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one = np.concatenate([some.one for some in links])
    other = np.concatenate([some.other for some in links])
    alive = np.ones(people, bool)
    while True:
        ends = alive[one] & alive[other]
        graph = coo_array((np.ones(int(ends.sum())), (one[ends], other[ends])), shape=(people, people)).tocsr()
        graph = ((graph + graph.T) > 0).astype(float)
        _, label = connected_components(graph, directed=False)
        size = np.bincount(label)[label]
        weak = alive & (graph.sum(axis=1) < np.where(size > 2, np.maximum(2.0, size / 20.0), 1.0))
        if not weak.any():
            break
        alive &= ~weak
    found = [np.flatnonzero(alive & (label == k)) for k in np.unique(label[alive])]
    return [members for members in found if len(members) >= smallest]


def voice_of(evidence: Evidence, members: Ints, items: Ints, taste: Floats, outsider: NDArray[np.bool_]) -> Voice:
    """Agreement on `items` among `members` and with the people `outsider` (people,) marks, item by item.

    `taste` (people, K): everybody's probable tastes; an outsider counts as far as the members share their taste.
    """
    belongs = np.zeros(evidence.people, bool)
    belongs[members] = True
    yes = (evidence.value >= 0.5).astype(float)
    inside = belongs[evidence.person]
    n, likes = _tally(evidence, inside.astype(float), yes)
    kin = taste @ taste[members].mean(axis=0)
    kin = kin / max(float(kin.max()), 1e-12)
    m, praised = _tally(evidence, np.where(outsider[evidence.person] & ~inside, kin[evidence.person], 0.0), yes)
    aimed = np.zeros(evidence.items, bool)
    aimed[items] = True
    use = aimed & (n >= 2) & (m >= 0.5)
    if use.sum() < FEWEST_ITEMS:
        return Voice(0.0, 0.0, int(use.sum()), 0.0)
    n, likes, share = n[use], likes[use], praised[use] / m[use]
    within = (likes * (likes - 1) + (n - likes) * (n - likes - 1)) / (n * (n - 1))
    across = likes / n * share + (1 - likes / n) * (1 - share)
    weight = np.sqrt(np.minimum(n * (n - 1) / 2, 50.0) * np.minimum(m[use], 50.0))
    gap = within - across
    mean = float(np.average(gap, weights=weight))
    spread = float(np.sqrt((weight**2 * (gap - mean) ** 2).sum()) / weight.sum())
    errors = mean / max(spread, 0.02)
    return Voice(float(np.average(within, weights=weight)), float(np.average(across, weights=weight)), len(n), errors)


def _tally(evidence: Evidence, weight: Floats, yes: Floats) -> tuple[Floats, Floats]:
    """(items,), (items,): votes and likes, weighted."""
    return sums(evidence.item, weight, evidence.items), sums(evidence.item, weight * yes, evidence.items)
