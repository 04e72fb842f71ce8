"""Depth found without parsing agrees with the depth a parser finds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.access.nesting import MAX_NESTING, TooDeeplyNested, check_nesting, nesting
from ingest.wire import FEEDBACK


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((depth_of(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth_of(item) for item in value), default=0)
    return 0


VALUES = st.recursive(
    st.none() | st.booleans() | st.text('ab"\\[]{}\n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('k"[{\\'), inner, max_size=3),
)


@given(VALUES)
def test_the_depth_is_the_parsed_one(value: Any) -> None:
    assert nesting(json.dumps(value).encode()) == depth_of(value)


@given(st.binary(max_size=200))
def test_any_bytes_have_a_depth(body: bytes) -> None:
    assert nesting(body) >= 0


def test_too_deep_is_refused_in_time() -> None:
    check_nesting(b"[" * MAX_NESTING + b"]" * MAX_NESTING)
    check_nesting(json.dumps([{"messages": [{}]} for _ in range(5000)]).encode())
    for body in (b"[" * (MAX_NESTING + 1), b'{"a":' * 100_000, b"[" * 400_000):
        with pytest.raises(TooDeeplyNested):
            check_nesting(body)
    check_nesting(b'"' + b"[" * 1000 + b'"')
    check_nesting(b'"\\"' + b"[" * 1000 + b'"')


@pytest.mark.parametrize("shape", [b"%s", b'{"events": %s}', b'[{"event_id": %s}]'])
def test_feedback_nested_too_deep_is_told_so(shape: bytes) -> None:
    with pytest.raises(TooDeeplyNested) as caught:
        FEEDBACK.parse(shape % (b"[" * 100_000 + b"]" * 100_000), 10)
    assert (caught.value.status, caught.value.code) == (400, "too_deeply_nested")
