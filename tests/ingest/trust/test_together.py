"""Links, blocks, bursts and voices: by hand, by brute force, and on planted groups with innocent neighbours."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.trust.blocks import _prefix, find_blocks
from ingest.trust.bursts import find_bursts, slots_of
from ingest.trust.evidence import Evidence
from ingest.trust.membership import members_of
from ingest.trust.rings import Links, _discoveries, find_links, groups_of, voice_of
from tests.ingest.trust.test_maths import evidence_of


def crowd(rng: np.random.Generator, people: int, items: int, votes: int = 15) -> list[tuple[int, int, float]]:
    """People who vote on random items, each item liked by three in ten or by seven in ten of them."""
    appeal = np.where(np.arange(items) % 2, 0.7, 0.3)
    rows = []
    for person in range(people):
        for item in rng.choice(items, votes, replace=False):
            rows.append((person, int(item), float(rng.random() < appeal[item])))
    return rows


def ring(first: int, members: int, targets: range, each: int, rng: np.random.Generator) -> list[tuple[int, int, float]]:
    """Accounts that vote against everybody else on `each` of the targets."""
    return [
        (person, int(item), float(item % 2 == 0))
        for person in range(first, first + members)
        for item in rng.choice(list(targets), each, replace=False)
    ]


def links(evidence: Evidence, fewest: int = 5) -> Links:
    return find_links(evidence.person, evidence.item, np.ones(evidence.people), evidence.people, 0.01, fewest)


def test_expected_overlap_by_hand() -> None:
    # Popularity 3, 2, 1 of 6: meeting probability (9 + 4 + 1) / 36; persons 0 and 1 have 3 and 2 votes.
    rows = [(0, 0, 1.0), (0, 1, 1.0), (0, 2, 1.0), (1, 0, 1.0), (1, 1, 1.0), (2, 0, 1.0)]
    evidence = evidence_of(rows, 3, 3)
    found = find_links(evidence.person, evidence.item, np.ones(3), 3, 3.0, 2)  # three tests: whatever the p-value
    assert (found.one.tolist(), found.other.tolist(), found.shared.tolist()) == ([0], [1], [2])
    assert found.expected[0] == pytest.approx(3 * 2 * 14 / 36)


def test_benjamini_and_hochberg_by_hand() -> None:
    p = np.array([0.001, 0.04, 0.012, 0.03])
    # Of 5 tests at 0.05 the bounds are 0.01, 0.02, 0.03, 0.04: the third smallest, 0.03, is the last within its own.
    assert _discoveries(p, 5, 0.05).tolist() == [True, True, True, True]
    assert _discoveries(p, 6, 0.05).tolist() == [True, False, True, False]
    assert _discoveries(np.array([0.5]), 10, 0.05).tolist() == [False]


def test_a_tight_ring_is_linked_and_strangers_are_not() -> None:
    rng = np.random.default_rng(0)
    evidence = evidence_of(crowd(rng, 300, 200) + ring(300, 6, range(40), 32, rng), 306, 200)
    (members,) = groups_of([links(evidence)], evidence.people, 3)
    assert members.tolist() == list(range(300, 306))
    assert groups_of([links(evidence_of(crowd(rng, 300, 200), 300, 200))], 300, 3) == []


def test_a_chance_link_draws_nobody_in() -> None:
    one, other = np.array([0, 0, 1, 2, 9]), np.array([1, 2, 2, 3, 8])
    some = Links(one, other, np.full(5, 7), np.ones(5))
    assert [members.tolist() for members in groups_of([some], 10, 3)] == [[0, 1, 2]]


def test_a_ring_has_one_voice_and_colleagues_have_not() -> None:
    rng = np.random.default_rng(1)
    appeal = np.where(np.arange(200) % 2, 0.7, 0.3)
    team = [(p, i, float(rng.random() < appeal[i])) for p in range(310, 320) for i in rng.choice(40, 25, replace=False)]
    rows = crowd(rng, 300, 200) + ring(300, 10, range(100, 140), 25, rng) + team
    evidence = evidence_of([(int(p), int(i), v) for p, i, v in rows], 320, 200)
    groups = groups_of([links(evidence)], evidence.people, 3)
    assert [members.tolist() for members in groups] == [list(range(300, 310)), list(range(310, 320))]
    outsiders = np.arange(320) < 300
    taste = np.ones((320, 1))
    voices = [voice_of(evidence, members, np.arange(200), taste, outsiders) for members in groups]
    assert voices[0].unanimity > 0.9
    assert voices[0].errors > 5
    assert voices[0].inside == 1.0
    assert voices[1].unanimity < 0.2


def test_a_voice_by_hand() -> None:
    """Members 0, 1, 2 say yes, yes, no on each of six items; of two outsiders one says yes."""
    rows = [(p, i, v) for i in range(6) for p, v in enumerate([1.0, 1.0, 0.0, 1.0, 0.0])]
    voice = voice_of(evidence_of(rows, 5, 6), np.arange(3), np.arange(6), np.ones((5, 1)), np.arange(5) > 2)
    assert (voice.inside, voice.outside, voice.items) == pytest.approx((1 / 3, 0.5, 6))
    assert voice.unanimity == pytest.approx((1 / 3 - 0.5) / 0.5)


def test_only_outsiders_of_the_same_taste_bear_witness() -> None:
    """A minority agrees with itself against the majority, and with others of its own taste: no ring."""
    rows = [(p, i, 1.0) for i in range(10) for p in range(4)] + [(p, i, 0.0) for i in range(10) for p in range(4, 10)]
    evidence = evidence_of(rows, 10, 10)
    taste = np.array([[0.0, 1.0]] * 4 + [[1.0, 0.0]] * 6)
    outsiders = np.arange(10) >= 2
    own = voice_of(evidence, np.arange(2), np.arange(10), taste, outsiders)
    assert (own.inside, own.outside, own.unanimity) == (1.0, 1.0, 0.0)
    blind = voice_of(evidence, np.arange(2), np.arange(10), np.ones((10, 1)), outsiders)
    assert blind.unanimity == 1.0


def test_without_other_votes_there_is_no_judgement() -> None:
    rows = [(p, i, 1.0) for i in range(10) for p in range(4)]
    voice = voice_of(evidence_of(rows, 5, 10), np.arange(4), np.arange(10), np.ones((5, 1)), np.arange(5) == 4)
    assert (voice.items, voice.unanimity) == (0, 0.0)


@given(st.lists(st.tuples(st.integers(0, 8), st.floats(0.1, 5.0)), min_size=1, max_size=7))
def test_the_best_subset_is_a_prefix(pairs: list[tuple[int, float]]) -> None:
    """Linear-time subset scanning against all subsets."""
    observed, expected = np.array([float(o) for o, _ in pairs]), np.array([e for _, e in pairs])

    def score(chosen: tuple[int, ...]) -> float:
        o, e = observed[list(chosen)].sum(), expected[list(chosen)].sum()
        return float(o * np.log(o / e) - (o - e)) if o > e else 0.0

    subsets = [c for n in range(1, len(pairs) + 1) for c in itertools.combinations(range(len(pairs)), n)]
    chosen, best = _prefix(observed, expected)
    assert best == pytest.approx(max(score(c) for c in subsets), abs=1e-9)
    if best > 0:
        assert score(tuple(int(i) for i in chosen)) == pytest.approx(best)


def test_a_wide_ring_is_a_block_where_no_pair_is_linked() -> None:
    rng = np.random.default_rng(2)
    evidence = evidence_of(crowd(rng, 600, 500) + ring(600, 40, range(250), 100, rng), 640, 500)
    assert len(links(evidence).one) < 40  # of 780 pairs
    weight = np.where(np.arange(640) < 600, 1.0, 0.3)  # capped: or those who vote most make their own targets popular
    blocks = find_blocks(evidence.person, evidence.item, weight, 640, 500, np.random.default_rng(0))
    # What is found after it are echoes, the others being short of votes where the first block has many.
    assert all(block.score < blocks[0].score / 2 for block in blocks[1:])
    assert set(range(600, 640)) <= set(blocks[0].people.tolist())
    assert blocks[0].score > 1.25 * blocks[0].chance
    members = members_of(evidence, blocks[0].people, blocks[0].items, np.full(len(evidence.person), 0.5))
    assert members.tolist() == list(range(600, 640))


def test_a_crowd_has_no_block() -> None:
    rng = np.random.default_rng(4)
    evidence = evidence_of(crowd(rng, 400, 300), 400, 300)
    assert find_blocks(evidence.person, evidence.item, np.ones(400), 400, 300, rng) == []
    nobody = np.zeros(0, np.int64)
    assert find_blocks(nobody, nobody, np.ones(3), 3, 3, rng) == []


def timed(evidence: Evidence, at: np.ndarray) -> Evidence:
    return Evidence(
        evidence.people,
        evidence.items,
        evidence.person,
        evidence.item,
        evidence.value,
        at,
        evidence.features,
        evidence.also,
    )


def test_slots_are_numbered_by_item_and_time() -> None:
    assert slots_of(np.array([0.0, 9.0, 10.0, 0.0]), np.array([0, 0, 0, 1]), 10.0).tolist() == [0, 0, 1, 2]
    assert slots_of(np.array([0.0, 4.0, 6.0]), np.zeros(3, np.int64), 10.0, 0.5).tolist() == [0, 0, 1]


def test_a_one_sided_rush_is_a_burst_and_a_popular_moment_is_not() -> None:
    rng = np.random.default_rng(5)
    rows = crowd(rng, 300, 100)
    swarm = [(300 + i, 3, 0.0) for i in range(40)]  # item 3 is liked by seven in ten
    news = [(340 + i, 5, float(rng.random() < 0.7)) for i in range(40)]  # so is item 5, and so it stays
    evidence = evidence_of(rows + swarm + news, 380, 100)
    at = rng.uniform(0, 1e6, len(evidence.person))
    late = evidence.person >= 300
    at[late] = 5e5 + rng.uniform(0, 200, int(late.sum()))
    found = find_bursts(timed(evidence, at), 600.0, 1e-3)
    share = found.share(evidence)
    assert found.count == 1
    assert (share[300:340] == 1.0).all()
    assert (share[340:] == 0.0).all()
    assert share[:300].max() <= 1 / 15
    spread = timed(evidence, rng.uniform(0, 1e6, len(evidence.person)))
    assert find_bursts(spread, 600.0, 1e-3).count == 0


def test_no_rush_falls_between_two_slots() -> None:
    rng = np.random.default_rng(6)
    evidence = evidence_of(crowd(rng, 300, 100) + [(300 + i, 3, 0.0) for i in range(14)], 314, 100)
    at = rng.uniform(0, 1e6, len(evidence.person))
    at[0], at[evidence.person >= 300] = 0.0, 600_000.0 + np.linspace(-100, 100, 14)  # seven either side of a boundary
    assert find_bursts(timed(evidence, at), 600.0, 1e-3).count == 1


def test_a_bystander_is_no_member() -> None:
    """Votes on the same answers, and says what outsiders say."""
    rng = np.random.default_rng(7)
    appeal = np.where(np.arange(200) % 2, 0.8, 0.2)
    bystander = [(310, i, float(appeal[i] > 0.5)) for i in range(30)]
    evidence = evidence_of(crowd(rng, 300, 200) + ring(300, 10, range(40), 30, rng) + bystander, 311, 200)
    drawn_in = np.arange(300, 311)
    members = members_of(evidence, drawn_in, np.arange(40), appeal[evidence.item])
    assert members.tolist() == list(range(300, 310))


def test_no_votes_no_bursts() -> None:
    empty = evidence_of([], 2, 2)
    assert find_bursts(empty, 600.0, 1e-3).count == 0
