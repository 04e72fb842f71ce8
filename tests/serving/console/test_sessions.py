"""A session is what was signed, or nothing."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.console.sessions import Session, csrf_holds, csrf_token, new_session, opened, sealed

SECRET, LIFETIME = b"a secret of the deployment", 3600.0
SESSION = Session(actor="console:anna", role="viewer", key_id="k", issued_at=1000.0, nonce="00" * 16)


def test_a_session_comes_back_until_its_time_is_over() -> None:
    cookie = sealed(SESSION, SECRET)
    assert opened(cookie, SECRET, 1000.0, LIFETIME) == SESSION
    assert opened(cookie, SECRET, 1000.0 + LIFETIME - 1, LIFETIME) == SESSION
    assert opened(cookie, SECRET, 1000.0 + LIFETIME, LIFETIME) is None
    assert opened(cookie, SECRET, 900.0, LIFETIME) is None, "nothing is signed in the future"


def test_another_secret_opens_nothing() -> None:
    assert opened(sealed(SESSION, SECRET), b"another", 1000.0, LIFETIME) is None


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_no_changed_character_opens(place: int, other: str) -> None:
    cookie = sealed(SESSION, SECRET)
    at = place % len(cookie)
    changed = cookie[:at] + other + cookie[at + 1 :]
    found = opened(changed, SECRET, 1000.0, LIFETIME)
    # The last characters of base64 hold bits that are not read: the session is the same, or there is none.
    assert found in (None, SESSION)


@pytest.mark.parametrize("cookie", [None, "", ".", "a.b", "%", "é.é", "x" * 5000, "e30.e30"])
def test_what_is_no_cookie_of_ours_is_none(cookie: str | None) -> None:
    assert opened(cookie, SECRET, 1000.0, LIFETIME) is None


def test_a_role_cannot_be_raised() -> None:
    import base64

    body, _, mac = sealed(SESSION, SECRET).partition(".")
    raised = msgspec.json.encode(msgspec.structs.replace(SESSION, role="admin"))
    forged = base64.urlsafe_b64encode(raised).rstrip(b"=").decode()
    assert opened(f"{forged}.{mac}", SECRET, 1000.0, LIFETIME) is None
    assert body != forged


def test_forms_are_bound_to_their_session_and_not_to_be_had_from_the_cookie() -> None:
    mine = new_session("console:anna", "admin", "", 1000.0)
    other = new_session("console:anna", "admin", "", 1000.0)
    token = csrf_token(mine, SECRET)
    assert csrf_holds(mine, SECRET, token)
    assert not csrf_holds(other, SECRET, token)
    assert not csrf_holds(mine, b"another", token)
    assert not csrf_holds(mine, SECRET, "")
    assert token not in sealed(mine, SECRET)
