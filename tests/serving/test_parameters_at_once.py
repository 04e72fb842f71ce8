"""The quick way of reading a request gives what the long way gives, or leaves it to that."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.contracts import PlauditError
from infra.settings.serving import ServingSettings
from serving.wire import _read_at_once, _read_by_name

SETTINGS = ServingSettings(max_tokens_default=64, max_tokens_limit=128, max_choices=4)
_MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "developer", "tool"]), "content": st.text(max_size=8)}
    ),
    max_size=3,
)
_VALUES = st.none() | st.booleans() | st.integers(-1, 200) | st.floats(-1, 3) | st.text(max_size=4)
_NAMES = ["model", "temperature", "top_p", "max_tokens", "stream", "user", "n", "seed", "stop", "logprobs", "x"]


@settings(max_examples=150, deadline=None)
@given(messages=_MESSAGES, more=st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=3))
def test_what_is_read_at_once_is_what_the_long_way_reads(messages: list[Any], more: dict[str, Any]) -> None:
    body = json.dumps({"messages": messages, **more}).encode()
    quick = _read_at_once(body, SETTINGS)
    if quick is not None:
        assert quick == _read_by_name(body, SETTINGS)


def test_an_ordinary_request_is_read_at_once() -> None:
    body = {"model": "plaudit", "messages": [{"role": "user", "content": "hi"}], "user": "ann", "max_tokens": 9}
    found = _read_at_once(json.dumps(body | {"temperature": 1, "stream": True}).encode(), SETTINGS)
    assert found is not None
    assert (found.user, found.sampling.max_tokens, found.stream) == ("ann", 9, True)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_request_are_left_to_the_long_way(body: bytes) -> None:
    try:
        assert _read_at_once(body, SETTINGS) is None
    except PlauditError:
        raise AssertionError("the quick way refuses nothing itself") from None
