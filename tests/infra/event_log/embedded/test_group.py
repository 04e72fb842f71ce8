"""Shares of a group."""

from hypothesis import given
from hypothesis import strategies as st

from infra.event_log.embedded.group import share


@given(st.integers(1, 50), st.integers(1, 1024))
def test_shares_cover_all_partitions_and_differ_by_at_most_one(members: int, partitions: int) -> None:
    shares = [share(rank, members, partitions) for rank in range(members)]
    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1
    assert shares == sorted(shares, reverse=True)


def test_three_members_of_four_partitions() -> None:
    assert [share(rank, 3, 4) for rank in range(3)] == [2, 1, 1]
