import subprocess
import sys
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts import new_response_id, stable_hash, stable_hashes, user_key_of, user_keys, uuid7
from infra.contracts.ids import eight_random_bytes, uuid7_time


def test_ids_of_a_process_rise_strictly_across_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: [uuid7() for _ in range(2_000)], range(8)))
    for batch in batches:
        assert batch == sorted(batch)
        assert [str(value) for value in batch] == sorted(str(value) for value in batch)
    together = [value for batch in batches for value in batch]
    assert len(set(together)) == len(together)


def test_ids_rise_even_when_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = uuid7()
    real = time.time_ns
    monkeypatch.setattr("infra.contracts.ids.time.time_ns", lambda: real() - 3600 * 10**9)
    assert uuid7() > before


def test_a_forked_process_draws_bits_of_its_own() -> None:
    """They are asked for by the page, and a child has a copy of its parent's."""
    program = (
        "import os; from infra.contracts import uuid7; uuid7(); child = os.fork();"
        "child and os.waitpid(child, 0); print(*(uuid7().int & (1 << 62) - 1 for _ in range(600)), flush=True)"
    )
    lines = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert len(lines) == len(set(lines)) == 1200, "more than a page each, and no bits twice"


def test_random_bytes_are_given_once() -> None:
    drawn = [eight_random_bytes() for _ in range(1500)]
    drawn += [(uuid7().int & (1 << 62) - 1).to_bytes(8) for _ in range(600)]
    assert len({value[-7:] for value in drawn}) == len(drawn), "two pages, shared with the ids"
    ones = sum(int.from_bytes(value).bit_count() for value in drawn[:1500])
    assert abs(ones / (1500 * 64) - 0.5) < 0.01


def test_the_bits_are_those_of_rfc_9562() -> None:
    for _ in range(1000):
        before = time.time()
        value = uuid7()
        assert value.version == 7
        assert value.variant == uuid.RFC_4122
        assert before - 0.002 <= uuid7_time(value) <= time.time() + 0.002


def test_the_time_of_a_known_id() -> None:
    """The example of RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC."""
    assert uuid7_time(uuid.UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")) == 1645557742.0


def test_only_version_7_has_a_time() -> None:
    with pytest.raises(ValueError, match="version 4"):
        uuid7_time(uuid.uuid4())


def test_response_ids_look_like_openai_and_sort() -> None:
    first, second = new_response_id(), new_response_id()
    assert first.startswith("chatcmpl-")
    assert first < second


def test_stable_hash_is_known() -> None:
    """Last hex digit of `printf %s TEXT | b2sum -l 64`; a change would move every key to another partition."""
    assert [stable_hash(text, 16) for text in ("", "a", "chatcmpl-1")] == [0x4, 0xF, 0x6]


@given(st.lists(st.text(max_size=40)), st.integers(1, 1000))
def test_many_hashes_are_the_hash_of_each(texts: list[str], buckets: int) -> None:
    assert stable_hashes(texts, buckets) == [stable_hash(text, buckets) for text in texts]


def test_stable_hash_is_the_same_in_another_process() -> None:
    program = "from infra.contracts import stable_hash; print(stable_hash('chatcmpl-x', 1_000_003))"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(other.stdout) == stable_hash("chatcmpl-x", 1_000_003)


@given(st.text(), st.integers(1, 2**40))
def test_stable_hash_is_in_range(text: str, buckets: int) -> None:
    assert 0 <= stable_hash(text, buckets) < buckets


def test_stable_hash_spreads_evenly() -> None:
    """Chi-squared over 16 buckets, 15 degrees of freedom: 99.99 % lie below 44.3."""
    counts = Counter(stable_hash(f"key-{i}", 16) for i in range(16_000))
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 44.3


def test_user_key_is_hmac_sha256() -> None:
    """RFC 4231, test case 2: key 'Jefe'."""
    assert user_key_of("what do ya want for nothing?", b"Jefe") == "5bdcc146bf60754e6a042426089575c7"


@given(st.text(), st.text(), st.binary(min_size=1), st.binary(min_size=1))
def test_user_keys_differ_by_person_and_secret(one: str, other: str, secret: bytes, rotated: bytes) -> None:
    key = user_key_of(one, secret)
    assert len(key) == 32
    assert (key == user_key_of(other, secret)) == (one == other)
    # HMAC pads short keys with zeros: secrets that differ only there are the same secret.
    if secret.rstrip(b"\0") != rotated.rstrip(b"\0") and max(len(secret), len(rotated)) <= 64:
        assert key != user_key_of(one, rotated)


@given(st.text(max_size=200), st.binary(min_size=1, max_size=150))
def test_many_keys_are_the_same_keys(user: str, secret: bytes) -> None:
    """Beside the standard library's HMAC, for secrets below and above a block."""
    key_of = user_keys(secret)
    assert [key_of(user), key_of("other"), key_of(user)] == [user_key_of(u, secret) for u in (user, "other", user)]
