"""Where records go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts import stable_hash
from infra.event_log import InvalidRecord, Record, partition_of
from infra.event_log.partitioning import place


@given(st.text(), st.integers(1, 1024))
def test_a_text_key_goes_where_the_stable_hash_says(key: str, partitions: int) -> None:
    assert partition_of(key.encode(), partitions) == stable_hash(key, partitions)


def test_the_partition_of_a_key_never_changes() -> None:
    # BLAKE2b-64 of b"chatcmpl-1", from `printf %s chatcmpl-1 | b2sum -l 64`; 0x...& 3 gives the partition of four.
    import hashlib

    digest = hashlib.blake2b(b"chatcmpl-1", digest_size=8).hexdigest()
    assert partition_of(b"chatcmpl-1", 4) == int(digest[-1], 16) % 4


def test_placing_names_the_record_that_is_wrong() -> None:
    good = Record(key=b"k", value=b"12345", partition=1)
    assert place([good, good], 2, 6) == [1, 1]
    with pytest.raises(InvalidRecord, match=r"record 1 has 7 bytes, more than 6") as caught:
        place([good, Record(key=b"k", value=b"123456")], 2, 6)
    assert caught.value.status == 413
    with pytest.raises(InvalidRecord, match=r"record 0: partition -1"):
        place([Record(key=b"k", value=b"", partition=-1)], 2, 6)
