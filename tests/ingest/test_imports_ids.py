"""An import may not take the place of an answer of our own."""

import pytest

from infra.contracts import new_response_id
from ingest.imports import is_ours


@pytest.mark.parametrize("theirs", ["chatcmpl-9XyZ", "r1", "chatcmpl-7d444840-9dc0-41f5-8d3c-4f4ce2c2a1b1", ""])
def test_other_ids_are_theirs(theirs: str) -> None:
    assert not is_ours(theirs)


def test_ids_of_this_gateway_are_ours() -> None:
    assert is_ours(new_response_id())
