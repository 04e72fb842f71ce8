"""From what people did, through ingest's own tables, to a training set: on SQLite and PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from infra.contracts import Answer, FeedbackEvent, Interaction, Message
from infra.settings import Settings
from infra.settings.reward_model import RewardModelSettings
from ingest.closing import Closing, close
from ingest.erasure.forgetting import Forgotten, Whom, forget
from ingest.evidence import Evidence
from ingest.feedback_handler import FEEDBACK_HANDLER
from ingest.interaction_handler import INTERACTION_HANDLER
from ingest.labels import Labelling
from ingest.repository import FeedbackRepository
from ingest.retention_repository import RetentionRepository
from reward_model.assembly import evidence_as_of, reason_to_wait, training_set_as_of
from reward_model.data import TrainingSet
from tests.ingest.builders import PROJECT, START, event, feedback_record, interaction_record
from tests.reward_model.store import add_trust

if TYPE_CHECKING:
    from infra.db import Database

DAY = 86400.0
ANN, BOB, CYD = ("a" * 32, "b" * 32, "c" * 32)


@dataclass
class Shop:
    """One store, what happens in it, and when its windows close: a day after each answer."""

    database: "Database"
    settings: Settings

    def serve(self, number: int, person: str | None, *texts: str, prompt: str = "why?", **more: Any) -> None:
        made = Interaction(
            project=PROJECT,
            response_id=f"r{number}",
            conversation_id=f"c{number}",
            created_at=START + number,
            messages=(Message("user", prompt),),
            answers=tuple(Answer(i, text, "stop") for i, text in enumerate(texts or (f"answer {number}",))),
            user_key=person,
            **more,
        )
        with self.database.transaction() as connection:
            INTERACTION_HANDLER.apply(connection, [interaction_record([made])], self._labelling, START + number)

    def happen(self, events: Sequence[FeedbackEvent], now: float) -> None:
        with self.database.transaction() as connection:
            FEEDBACK_HANDLER.apply(connection, [feedback_record(events)], self._labelling, now)

    def close(self, now: float, trust: dict[str, float] | None = None) -> int:
        with self.database.transaction() as connection:
            due = FeedbackRepository(connection, PROJECT).due(now, 1000)
            evidence = Evidence(trust=lambda _people: trust or {})
            return close(connection, PROJECT, due, Closing(self._labelling, now, now, evidence))

    def made(self, instant: float) -> TrainingSet:
        with self.database.reading() as connection:
            return training_set_as_of(connection, self.settings, instant)

    def forget(self, key: str, now: float) -> Forgotten:
        with self.database.transaction() as connection:
            return forget(connection, Whom(f"erasure-{now}", PROJECT, now, frozenset({key})), self._labelling, now)

    @property
    def _labelling(self) -> Labelling:
        return Labelling.of(self.settings.ingest)


@pytest.fixture
def shop(database: "Database", settings: Settings) -> Shop:
    wanted = RewardModelSettings(hold_out_fraction=0.3, age_half_life_days=0.0, matched_pair_weight=0.0)
    return Shop(database, settings.model_copy(update={"reward_model": wanted}))


def at(number: int) -> float:
    """When something happens to answer `number`."""
    return START + number + 5.0


def said(number: int, signal: str, **more: Any) -> FeedbackEvent:
    return event(f"r{number}", signal, derived_at=at(number), **more)


def loves(made: TrainingSet) -> dict[str, float]:
    k = made.objectives.index("love")
    found = zip(made.answers, made.targets[:, k], strict=True)
    return {f"{a.response_id}/{a.choice}": float(value) for a, value in found if not np.isnan(value)}


def test_votes_and_silence_become_labels_when_windows_close(shop: Shop) -> None:
    for number, person in enumerate((ANN, BOB, None)):
        shop.serve(number, person)
    events = [said(0, "shown"), said(0, "like"), said(1, "shown"), said(2, "shown"), said(2, "dislike")]
    shop.happen(events, at(3))
    assert len(shop.made(at(9)).answers) == 0, "windows are open: silence means nothing yet"
    shop.close(START + 2 * DAY)
    made = shop.made(START + 3 * DAY)
    assert loves(made) == {"r0/0": 1.0, "r1/0": 0.0, "r2/0": 0.0}
    assert made.people == (ANN, BOB, None)
    assert made.card["objectives"]["sentiment"]["labels"] == 2
    assert made.card["objectives"]["dwell"]["labels"] == 0


def test_a_changed_vote_makes_a_new_version_and_the_past_stays(shop: Shop) -> None:
    shop.serve(0, ANN)
    shop.happen([said(0, "shown"), said(0, "like")], at(0))
    shop.close(START + 2 * DAY)
    then = shop.made(START + 3 * DAY)
    shop.happen([event("r0", "dislike", derived_at=START + 4 * DAY)], START + 4 * DAY)
    shop.close(START + 5 * DAY)
    assert loves(shop.made(START + 6 * DAY)) == {"r0/0": 0.0}
    again = shop.made(START + 3 * DAY)
    assert loves(again) == loves(then) == {"r0/0": 1.0}
    assert again.content_hash == then.content_hash
    assert again.card == then.card


def test_what_a_refused_or_distrusted_vote_leaves_behind_is_not_evidence(shop: Shop) -> None:
    """A label of nobody trusted has no value, and a weight of 0: it must not become a target."""
    shop.serve(0, ANN)
    shop.happen([said(0, "shown"), said(0, "like")], at(0))
    shop.close(START + 2 * DAY, trust={ANN: 0.0})
    made = shop.made(START + 3 * DAY)
    assert len(made.answers) == 0
    assert made.card["dropped"]["labels_without_value"] == 1


def test_trust_is_in_labels_once_and_in_pairs_once(shop: Shop) -> None:
    shop.serve(0, ANN, "one", "two")
    duel = event("r0", "duel", other_response_id="r0", other_choice=1, derived_at=at(0))
    shop.happen([said(0, "shown"), said(0, "like"), duel], at(0))
    add_trust(shop.database, ANN, START + DAY, 0.5, project=PROJECT)
    add_trust(shop.database, ANN, START + 9 * DAY, 0.1, project=PROJECT)
    shop.close(START + 2 * DAY, trust={ANN: 0.5})
    made = shop.made(START + 3 * DAY)
    assert made.weights[0, made.objectives.index("love")] == 0.5
    assert made.pair_weights.tolist() == [0.5]
    assert shop.made(START + 9 * DAY).pair_weights.tolist() == [0.1]
    assert shop.made(START + 3 * DAY).content_hash == made.content_hash


def test_a_withdrawn_duel_is_gone_from_then_on(shop: Shop) -> None:
    shop.serve(0, ANN, "one", "two")
    duel = {"other_response_id": "r0", "other_choice": 1}
    shop.happen([event("r0", "duel", derived_at=at(0), **duel)], at(0))
    shop.happen([event("r0", "duel", operation="withdraw", derived_at=at(5), **duel)], at(5))
    assert len(shop.made(at(1)).pairs) == 1
    assert len(shop.made(at(5)).pairs) == 0


def test_an_edit_is_a_preference_of_who_edited(shop: Shop) -> None:
    shop.serve(0, ANN, "a first try")
    shop.happen([said(0, "shown"), said(0, "edit", text="a better one", user_key=BOB)], at(0))
    shop.close(START + 2 * DAY)
    made = shop.made(START + 3 * DAY)
    assert (made.pair_sources, made.pair_people, made.pair_weights.tolist()) == (("edit",), (BOB,), [0.5])
    first, second = (made.answers[i] for i in made.pairs[0])
    assert (first.text, second.text, first.origin) == ("a better one", "a first try", "edit")
    assert not np.isfinite(made.targets[made.pairs[0, 0]]).any(), "nobody voted on the edited text"
    with shop.database.transaction() as connection:
        RetentionRepository(connection, PROJECT).texts(START + 9 * DAY)
    expired = shop.made(START + 3 * DAY)
    assert len(expired.pairs) == 0
    assert expired.card["dropped"]["edits_without_text"] == 1


def test_the_judge_of_a_label_is_who_voted(shop: Shop) -> None:
    for number in range(2):
        shop.serve(number, ANN)
    shop.happen([said(0, "shown", user_key=BOB), said(1, "shown"), said(1, "like", user_key=CYD)], at(2))
    shop.close(START + 2 * DAY)
    with shop.database.reading() as connection:
        evidence = evidence_as_of(connection, shop.settings, START + 3 * DAY)
    assert {label.key[0]: label.judges for label in evidence.labels} == {"r0": (BOB,), "r1": (ANN, CYD)}
    assert shop.made(START + 3 * DAY).people == (BOB, ANN)


def test_votes_that_come_later_do_not_change_who_judged_then(shop: Shop) -> None:
    shop.serve(0, ANN)
    shop.happen([said(0, "shown"), said(0, "like")], at(0))
    shop.close(START + 2 * DAY)
    before = shop.made(START + 9 * DAY)
    shop.happen([event("r0", "like", user_key=BOB, derived_at=at(1))], START + 3 * DAY)  # received long ago, read late
    assert shop.made(START + 9 * DAY).content_hash == before.content_hash


def test_the_erased_and_the_expired_are_named(shop: Shop) -> None:
    for number, person in enumerate((ANN, BOB, CYD, CYD)):
        shop.serve(number, person)
    shop.happen([said(number, "shown") for number in range(4)] + [said(2, "like", user_key=ANN)], at(4))
    shop.close(START + 2 * DAY)
    then = START + 3 * DAY
    assert shop.made(then).card["gone"] == {"labels": 0, "by_reason": {}, "named": []}
    shop.forget(ANN, START + 4 * DAY)
    with shop.database.transaction() as connection:
        RetentionRepository(connection, PROJECT).interactions(START + 1.5)  # r0 is gone already, r1 goes
    made = shop.made(then)
    assert loves(made) == {"r3/0": 0.0}
    assert made.card["gone"] == {
        "labels": 3,
        "by_reason": {"erased": 2, "expired": 1},
        "named": [["r0", 0, "erased"], ["r1", 0, "expired"], ["r2", 0, "erased"]],
    }
    assert made.card["dropped"]["labels_without_interaction"] == 1
    assert made.card["dropped"]["labels_without_value"] == 1, "ann's vote was in the label of r2"
    shop.close(START + 5 * DAY)
    assert loves(shop.made(START + 6 * DAY)) == {"r2/0": 0.0, "r3/0": 0.0}, "made anew without her"


def test_labels_that_expired_are_named_too(shop: Shop) -> None:
    for number in range(2):
        shop.serve(number, ANN)
        shop.happen([said(number, "shown")], at(number))
        shop.close(START + (2 + number) * DAY)
    with shop.database.transaction() as connection:
        assert RetentionRepository(connection, PROJECT).labels(START + 2.5 * DAY) == 1
    assert shop.made(START + 9 * DAY).card["gone"]["named"] == [["r0", 0, "expired"]]


def test_arms_of_an_experiment_are_compared(shop: Shop) -> None:
    settings = shop.settings.reward_model.model_copy(update={"matched_pair_weight": 1.0})
    shop.settings = shop.settings.model_copy(update={"reward_model": settings})
    arms: dict[str, Any] = {"experiment": "e", "phase": 0}
    shop.serve(0, ANN, "the old answer", arm="control", propensity=0.5, adapter="a@1", **arms)
    shop.serve(1, ANN, "the new answer", arm="challenger", propensity=0.25, adapter="a@2", **arms)
    shop.happen([said(0, "shown"), said(1, "shown"), said(1, "like")], at(1))
    shop.close(START + 2 * DAY)
    made = shop.made(START + 3 * DAY)
    assert made.pair_sources == ("matched",)
    assert made.answers[made.pairs[0, 0]].text == "the new answer"
    assert made.pair_weights.tolist() == [2.0]
    assert made.card["segments"]["arm"]["e:challenger"]["positive"]["love"] == 1.0


def test_what_is_missing_is_said_with_numbers(shop: Shop) -> None:
    wanted = shop.settings.reward_model.model_copy(
        update={"min_labels": 6, "min_positive": 2, "min_pairs": 50, "min_new_labels": 3}
    )
    shop.settings = shop.settings.model_copy(update={"reward_model": wanted})
    for number in range(8):
        shop.serve(number, ANN)

    def reason(since: float | None, drifted: bool = False) -> str | None:
        with shop.database.reading() as connection:
            return reason_to_wait(connection, shop.settings, START + 9 * DAY, since, drifted=drifted)

    shop.happen([said(number, "shown") for number in range(7)], at(8))
    shop.close(START + 2 * DAY)
    assert "all 7 labels of love are negative, of one class" in str(reason(None))
    shop.happen([event(f"r{number}", "like", derived_at=START + 3 * DAY) for number in range(2)], START + 3 * DAY)
    shop.close(START + 4 * DAY)
    assert reason(None) is None
    assert str(reason(START + 3 * DAY)).startswith("1 labels (or pairs) more needed: 2 labels and 0 pairs are new")
    assert reason(START + 3 * DAY, drifted=True) is None
    assert str(reason(START + 5 * DAY, drifted=True)).startswith(
        "3 labels (or pairs) more needed: 0 labels and 0 pairs"
    )


def test_a_vote_whose_answer_never_came_is_named_so(shop: Shop) -> None:
    shop.serve(0, ANN)
    shop.happen([said(0, "shown"), said(7, "shown"), said(7, "like")], at(7))
    shop.close(START + 2 * DAY)
    made = shop.made(START + 3 * DAY)
    assert loves(made) == {"r0/0": 0.0}
    assert made.card["dropped"]["labels_without_interaction"] == 1
    assert made.card["gone"]["named"] == [["r7", 0, "never arrived"]]


def test_who_is_erased_takes_along_what_they_made_of_others_answers(shop: Shop) -> None:
    """Also what was computed from it: derived files know texts by their content keys."""
    shop.serve(0, ANN, "a first try")
    shop.happen([said(0, "shown"), said(0, "edit", text="my own words", user_key=BOB)], at(0))
    shop.close(START + 2 * DAY)
    made = shop.made(START + 3 * DAY)
    edited = next(answer for answer in made.answers if answer.origin == "edit")
    gone = shop.forget(BOB, START + 4 * DAY)
    assert gone.content == {edited.content_key}
    assert len(shop.made(START + 3 * DAY).pairs) == 0


def test_what_a_limit_leaves_out_is_counted(shop: Shop) -> None:
    wanted = shop.settings.reward_model.model_copy(update={"max_labels": 3})
    shop.settings = shop.settings.model_copy(update={"reward_model": wanted})
    for number in range(5):
        shop.serve(number, ANN)
        shop.happen([said(number, "shown")], at(number))
        shop.close(START + (2 + number) * DAY)
    made = shop.made(START + 20 * DAY)
    assert sorted(loves(made)) == ["r2/0", "r3/0", "r4/0"], "the newest"
    assert made.card["dropped"]["label_versions_beyond_limit"] == 2
    assert made.card["labels_by_status"] == {"final": 3}
    assert list(made.card["labels_by_specification"].values()) == [3]


@pytest.mark.parametrize("seed", range(2))
def test_every_past_instant_gives_the_set_it_gave_then(
    sqlite_database: "Database", settings: Settings, seed: int
) -> None:
    """Votes, changes of mind, edits, duels, trust and windows at random, answers that come after their votes included:
    whatever happens later, the set of an instant stays what it was."""
    shop = Shop(sqlite_database, settings)
    rng = np.random.default_rng(seed)
    then: dict[float, tuple[str, dict[str, Any]]] = {}
    people = (ANN, BOB, CYD, None)
    late = list(range(30, 36))
    for number in range(16):
        shop.serve(number, people[number % 4], f"one {number}", f"two {number}", prompt=f"q{number % 3}")
    for step in range(25):
        now = START + 100.0 + (step + 1) * 7000.0
        events = []
        for _ in range(rng.integers(0, 6)):
            signal = str(rng.choice(["shown", "like", "dislike", "edit", "duel", "rating"]))
            number = int(rng.choice([*range(16), *late])) if signal != "duel" else int(rng.integers(16))
            fields: dict[str, dict[str, Any]] = {
                "edit": {"text": f"better {step}"},
                "rating": {"value": float(rng.integers(5)) / 4},
                "duel": {"other_response_id": f"r{number}", "other_choice": 1},
            }
            more = fields.get(signal, {})
            operation = "withdraw" if rng.random() < 0.2 and signal != "edit" else "set"
            voter = people[rng.integers(4)] if rng.random() < 0.2 else None
            events.append(event(f"r{number}", signal, operation=operation, user_key=voter, derived_at=now, **more))
        shop.happen(events, now)
        if late and rng.random() < 0.3:
            shop.serve(late.pop(), people[rng.integers(4)], prompt="q1")
        if rng.random() < 0.5:
            add_trust(sqlite_database, ANN, now, float(rng.random()), project=PROJECT)
        shop.close(now, trust={BOB: float(rng.random())})
        made = shop.made(now)
        then[now] = made.content_hash, made.card
    assert len({content for content, _ in then.values()}) > 10
    assert made.card["labels"] >= 8
    assert {source for _, card in then.values() for source in card["pairs_by_source"]} >= {"duel", "edit"}
    for instant, expected in then.items():
        again = shop.made(instant)
        assert (again.content_hash, again.card) == expected
