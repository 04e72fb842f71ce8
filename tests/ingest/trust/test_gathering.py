"""From the ledger to the evidence."""

import math
import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infra.settings.trust import TrustSettings
from ingest.trust.evidence import MISSING
from ingest.trust.gathering import Text, gather, to_evidence
from tests.ingest.builders import START, version

SETTINGS = TrustSettings()


def test_what_holds_is_an_opinion() -> None:
    ledgers = {
        "r1": [
            version("like", user_key="ada"),
            version("dislike", START + 5, user_key="bob"),
            version("like", user_key="bob"),
            version("rating", value=0.2, user_key="cleo"),
            version("like", user_key="dan"),
            version("like", START + 1, user_key="dan", operation="withdraw"),
            version("copy", user_key="eve"),
        ]
    }
    gathered = gather(ledgers, {})
    assert [(o.person, o.value) for o in gathered.opinions] == [("ada", 1.0), ("bob", 0.0), ("cleo", 0.2)]
    assert sorted(person for person, _ in gathered.acts) == ["ada", "bob", "cleo", "eve"]


def test_votes_without_a_name_are_the_owners_or_nobodys() -> None:
    ledgers = {"r1": [version("like")], "r2": [version("like")]}
    gathered = gather(ledgers, {"r1": "ada", "r2": None})
    assert [(o.person, o.answer) for o in gathered.opinions] == [("ada", ("r1", 0))]


def test_redundant_signals_stand_beside_the_opinion() -> None:
    ledgers = {
        f"r{i}": [
            version("like", user_key="ada"),
            version("dwell", value=float(i), user_key="ada"),
            *([version("rating", value=0.9, user_key="ada"), version("copy", user_key="ada")] if i == 4 else []),
        ]
        for i in range(5)
    }
    also = [o.also for o in gather(ledgers, {}).opinions]
    assert also == [(MISSING, 0, 0), (MISSING, 0, 0), (MISSING, 0, 0), (MISSING, 1, 0), (1, 1, 1)]
    few = {key: ledgers[key] for key in ("r3", "r4")}
    assert [o.also[1] for o in gather(few, {}).opinions] == [MISSING, MISSING]  # two reading times make no habit


def test_of_duels_between_two_answers_the_latest_holds_whichever_it_is_filed_under() -> None:
    ledgers = {
        "r1": [version("duel", user_key="ada", other_response_id="r2")],
        "r2": [version("duel", START + 1, user_key="ada", other_response_id="r1")],
    }
    (duel,) = gather(ledgers, {}).duels
    assert (duel.chosen, duel.rejected) == (("r2", 0), ("r1", 0))
    named = to_evidence(gather(ledgers, {}), {}, {(("r1", 0), ("r2", 0))}, SETTINGS)
    assert named.evidence.right.tolist() == [0.0]
    named = to_evidence(gather(ledgers, {}), {}, {(("r2", 0), ("r1", 0))}, SETTINGS)
    assert named.evidence.right.tolist() == [1.0]
    named = to_evidence(gather(ledgers, {}), {}, set(), SETTINGS)
    assert math.isnan(named.evidence.right[0])


def test_who_votes_on_two_near_duplicates_says_one_thing() -> None:
    prompt, answer = "Why are there two tides a day?", "Because the moon pulls and the earth turns underneath it all."
    ledgers = {
        "r1": [version("like", user_key="ada"), version("like", user_key="bob")],
        "r2": [version("dislike", START + 3, user_key="ada")],
        "r3": [version("like", user_key="ada")],
    }
    texts = {
        ("r1", 0): Text(prompt, answer),
        ("r2", 0): Text(prompt, answer + " "),
        ("r3", 0): Text("Hello?", "Good morning, what can I do for you today?"),
    }
    named = to_evidence(gather(ledgers, {}), texts, set(), SETTINGS)
    rows = list(zip(named.evidence.person, named.evidence.item, named.evidence.value, strict=True))
    assert rows == [(0, 0, 0.5), (0, 1, 1.0), (1, 0, 1.0)]
    assert named.evidence.at[0] == START + 3
    assert named.people == ["ada", "bob"]
    assert named.items == {("r1", 0): 0, ("r2", 0): 0, ("r3", 0): 1}


SIGNALS = st.lists(
    st.tuples(
        st.sampled_from(["r1", "r2", "r3"]),
        st.sampled_from(["like", "dislike", "rating", "dwell", "copy", "duel"]),
        st.sampled_from(["ada", "bob"]),
        st.sampled_from(["set", "withdraw"]),
        st.integers(0, 5),
    ),
    max_size=20,
)


@given(SIGNALS, st.randoms(use_true_random=False))
def test_order_does_not_matter(signals: list[tuple[str, str, str, str, int]], shuffler: random.Random) -> None:
    events = [
        (r, version(s, START + at, user_key=who, operation=op, value=at / 5, other_response_id="r9"))
        for r, s, who, op, at in signals
    ]
    ledgers: list[dict[str, list[object]]] = [{}, {}]
    for ledger in ledgers:
        for response_id, event in events:
            ledger.setdefault(response_id, []).append(event)
        shuffler.shuffle(events)
    one, other = (to_evidence(gather(ledger, {}), {}, set(), SETTINGS) for ledger in ledgers)  # type: ignore[arg-type]
    assert (one.people, one.items) == (other.people, other.items)
    for name in ("person", "item", "value", "at", "also", "judge", "chosen", "rejected", "actor", "acted_at"):
        np.testing.assert_array_equal(getattr(one.evidence, name), getattr(other.evidence, name))
