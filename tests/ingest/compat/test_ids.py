"""Event ids under an id of the caller's: new each time, found again, and nobody else's to make."""

import hashlib
import hmac
import uuid

from hypothesis import given
from hypothesis import strategies as st

from infra.contracts import user_key_of
from ingest.compat.ids import event_id_range, new_event_id
from ingest.rules import UUID7

SECRET = b"a deployment secret"


def prefix(event_id: str) -> int:
    """The 58 bits that stand for the caller's id."""
    value = uuid.UUID(event_id).int
    return (value >> 80) << 10 | (value >> 66) & 0x3FF


@given(st.text(), st.text())
def test_every_id_makes_valid_event_ids_within_its_range(product: str, caller_id: str) -> None:
    made = new_event_id(SECRET, product, "p", caller_id)
    least, most = event_id_range(SECRET, product, "p", caller_id)
    assert all(UUID7.fullmatch(one) for one in (made, least, most))
    assert least < made < most
    assert prefix(least) == prefix(made) == prefix(most)


def test_no_id_comes_twice_and_the_later_is_the_greater() -> None:
    made = [new_event_id(SECRET, "langfuse", "default", "s1") for _ in range(2000)]
    assert made == sorted(set(made))


def test_ids_of_different_callers_products_and_projects_do_not_meet() -> None:
    many = {event_id_range(SECRET, "langfuse", "default", f"s{i}")[0] for i in range(5000)}
    many |= {event_id_range(SECRET, product, project, "s1")[0] for product, project in [("x", "default"), ("x", "y")]}
    assert len(many) == 5002


def test_without_the_secret_no_id_can_be_made_ahead_of_its_owner() -> None:
    least, most = event_id_range(SECRET, "langfuse", "default", "s1")
    assert not least <= new_event_id(b"another secret", "langfuse", "default", "s1") <= most
    # Who may choose user ids and sees user keys has MACs under the secret of any text: they must be of no use.
    text = "langfuse\0default\0s1"
    seen = [user_key_of(text, SECRET), hmac.new(SECRET, text.encode(), hashlib.sha256).hexdigest()]
    assert prefix(least) not in {int(key[:16], 16) >> 6 for key in seen}
