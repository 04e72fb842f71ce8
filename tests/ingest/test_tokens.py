"""Tokens against an independent reading of their layout, and against every way of bending one."""

import base64
import hashlib
import hmac
import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts import new_response_id, user_key_of
from ingest.rules import SAFE_ID
from ingest.tokens import (
    MAX_TOKEN_CHARACTERS,
    Token,
    TokenExpired,
    TokenForAnotherAnswer,
    TokenForged,
    issue,
    verify,
)

SECRET = b"a deployment secret"
NOW = 1_700_000_000.0
KEY = user_key_of("alice", SECRET)
RESPONSE = "chatcmpl-0199c1f2-55a1-7c3e-9d61-6f1f5a1d2b70"


def issued(response_id: str = RESPONSE, user_key: str | None = KEY, project: str = "default") -> str:
    return issue(SECRET, project, response_id, user_key, NOW, NOW + 60)


def test_a_token_is_compact_and_says_what_it_was_issued_for() -> None:
    token = issued()
    found = verify([SECRET], "default", token, NOW)
    assert len(token) == 90
    assert found == Token(found.token_id, RESPONSE, KEY, int(NOW), int(NOW) + 60)
    assert found.token_id.startswith("6553f100")
    assert verify([SECRET], "default", issued(user_key=None), NOW).user_key is None


def test_the_layout_is_the_documented_one() -> None:
    raw = base64.urlsafe_b64decode(issued() + "=" * (-len(issued()) % 4))
    version, at, until = struct.unpack_from(">BII", raw)
    assert (version, at, until) == (1, 1_700_000_000, 1_700_000_060)
    assert raw[17:34] == b"\xff" + uuid.UUID(RESPONSE[9:]).bytes
    assert raw[34:51] == b"\xff" + bytes.fromhex(KEY)
    key = hmac.new(SECRET, b"plaudit feedback token v1", hashlib.sha256).digest()
    assert raw[51:] == hmac.new(key, b"default\0" + raw[:51], hashlib.sha256).digest()[:16]


def test_the_signing_key_is_not_the_key_of_user_keys() -> None:
    # A caller who may choose user ids, and sees user keys, must not be able to compute a signature.
    body = base64.urlsafe_b64decode(issued() + "==")[:-16]
    under_the_secret = hmac.new(SECRET, b"default\0" + body, hashlib.sha256).digest()[:16]
    forged = base64.urlsafe_b64encode(body + under_the_secret).rstrip(b"=").decode()
    with pytest.raises(TokenForged):
        verify([SECRET], "default", forged, NOW)


SAFE_IDS = st.from_regex(SAFE_ID, fullmatch=True) | st.builds(new_response_id)


@given(SAFE_IDS, st.none() | SAFE_IDS.filter(lambda text: len(text) <= 64), st.integers(0, 2**32 - 2))
def test_every_id_comes_back(response_id: str, user_key: str | None, at: int) -> None:
    token = issue(SECRET, "p", response_id, user_key, at, at + 1)
    found = verify([b"other", SECRET], "p", token, at)
    assert (found.response_id, found.user_key, found.issued_at) == (response_id, user_key, at)
    assert len(token) <= MAX_TOKEN_CHARACTERS


@given(st.data())
def test_no_changed_bit_passes(data: st.DataObject) -> None:
    token = issued("their-17")
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(TokenForged):
        verify([SECRET], "default", base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), NOW)


@given(st.text(max_size=200) | st.binary(max_size=120).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_nonsense_is_forged_and_nothing_worse(text: str) -> None:
    with pytest.raises(TokenForged):
        verify([SECRET], "default", text, NOW)


def test_another_project_or_secret_or_writing_is_forged() -> None:
    for token, project, secrets in [
        (issued(), "other", [SECRET]),
        (issued(), "default", [b"another secret"]),
        (issued(), "default", []),
        (issued() + "A", "default", [SECRET]),
        (issued()[:-4], "default", [SECRET]),
        ("", "default", [SECRET]),
    ]:
        with pytest.raises(TokenForged) as caught:
            verify(secrets, project, token, NOW)
        assert (caught.value.status, caught.value.field) == (401, "token")


def test_a_token_ends_at_its_second() -> None:
    assert verify([SECRET], "default", issued(), NOW + 59.999).expires_at == NOW + 60
    with pytest.raises(TokenExpired, match="expired 0 s ago"):
        verify([SECRET], "default", issued(), NOW + 60)


def test_a_token_is_for_one_answer() -> None:
    found = verify([SECRET], "default", issued(), NOW)
    found.require(RESPONSE)
    with pytest.raises(TokenForAnotherAnswer, match="another answer than 'r1'") as caught:
        found.require("r1")
    assert caught.value.status == 403


def test_two_tokens_of_one_answer_differ() -> None:
    one, other = (verify([SECRET], "default", issued(), NOW) for _ in range(2))
    assert one.token_id != other.token_id


def test_ids_that_do_not_fit_are_said_at_once() -> None:
    with pytest.raises(ValueError, match="at most 128"):
        issued("x" * 129)
    with pytest.raises(UnicodeEncodeError):
        issued("ä")
