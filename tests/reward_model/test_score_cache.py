"""Scores by content: each content computed once, and never another's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts import Message
from reward_model.score_cache import ScoreCache, score_key


def number(key: bytes) -> float:
    return float(key[0])


@given(st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=6), st.integers(1, 8))
def test_every_key_has_its_own_score_and_is_computed_once_at_a_time(calls: list[list[int]], rows: int) -> None:
    cache = ScoreCache(rows)
    for call in calls:
        keys = [bytes([k]) for k in call]
        asked: list[int] = []

        def compute(missing: list[int], keys: list[bytes] = keys, asked: list[int] = asked) -> np.ndarray:  # type: ignore[type-arg]
            asked += [keys[i][0] for i in missing]
            return np.array([[number(keys[i]), -1.0] for i in missing])

        found = cache.fill(keys, compute, (2,))
        assert found.shape == (len(call), 2)
        assert found[:, 0].tolist() == [float(k) for k in call]
        assert len(asked) == len(set(asked))
    assert cache.hits + cache.misses == sum(map(len, calls))


def test_the_least_recently_used_goes_first() -> None:
    cache = ScoreCache(2)

    def score(*keys: bytes) -> int:
        before = cache.misses
        cache.fill(keys, lambda missing: np.zeros((len(missing), 1)), (1,))
        return cache.misses - before

    assert [score(b"a"), score(b"b"), score(b"a"), score(b"c")] == [1, 1, 0, 1]
    assert [score(b"a"), score(b"b")] == [0, 1]


def test_what_comes_back_may_be_changed() -> None:
    cache = ScoreCache()
    cache.fill([b"a"], lambda missing: np.ones((1, 1)), (1,))[0, 0] = 5.0
    assert cache.fill([b"a"], lambda missing: np.zeros((1, 1)), (1,))[0, 0] == 1.0


def test_keys_tell_contents_apart() -> None:
    def messages(*texts: str) -> tuple[Message, ...]:
        return tuple(Message("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(texts))

    keys = {
        score_key("bf16", messages("a", "b"), "c"),
        score_key("fp32", messages("a", "b"), "c"),
        score_key("bf16", messages("a"), "bc"),
        score_key("bf16", messages("ab"), "c"),
        score_key("bf16", (Message("system", "a"), *messages("b")), "c"),
        score_key("bf16", messages("a", "b"), ""),
    }
    assert len(keys) == 6
    assert score_key("bf16", messages("a"), "b") == score_key("bf16", list(messages("a")), "b")
