"""The hash of an interaction: the same before and after fields were added, and not deaf to them."""

import hashlib

import msgspec

from infra.contracts import Answer, DuelSide, Interaction, Message
from ingest.codec import interaction_hash

LATER = ("duel", "honeypot", "redacted", "why")
ONE = Interaction(
    project="default",
    response_id="r",
    conversation_id="c",
    created_at=5.0,
    messages=(Message("user", "hello"),),
    answers=(Answer(0, "hi", "stop", (1, 2), (-1.0, -2.0), (-1.0, -2.0)),),
    latency_seconds=2.0,
)


def test_it_is_what_a_consumer_without_the_later_fields_computed() -> None:
    names = [name for name in ONE.__struct_fields__ if name not in LATER]
    former = msgspec.defstruct("Former", [(name, object) for name in names], kw_only=True)
    old = former(**{name: getattr(ONE, name) for name in names} | {"created_at": 0.0, "latency_seconds": 0.0})
    assert interaction_hash(ONE) == hashlib.blake2b(msgspec.msgpack.encode(old), digest_size=8).digest()


def test_times_do_not_matter_and_everything_else_does() -> None:
    change = msgspec.structs.replace
    assert interaction_hash(change(ONE, created_at=9.0, latency_seconds=1.0)) == interaction_hash(ONE)
    others = [
        change(ONE, adapter="kind@1"),
        change(ONE, redacted=True),
        change(ONE, duel=DuelSide("o", 0, 0.1, "self")),
        change(ONE, duel=DuelSide("o", 1, 0.1, "self")),
    ]
    assert len({interaction_hash(one) for one in [ONE, *others]}) == 5
