"""Label sets made again as of past instants are, bit for bit, what was written then; what is gone is named."""

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select

from infra.contracts import FeedbackEvent, Label
from infra.db.tables import feedback_events, interactions, labels, reward_specifications
from infra.settings.ingest import IngestSettings
from ingest.asof import LabelSet, UnknownVersion, labels_as_of
from ingest.closing import Closing, close
from ingest.dwell.model import ALL_DEVICES, DeviceModel, DwellModel
from ingest.dwell.repository import DwellRepository
from ingest.erasure.repository import TombstoneRepository
from ingest.evidence import Evidence
from ingest.feedback_handler import FEEDBACK_HANDLER
from ingest.interaction_handler import INTERACTION_HANDLER
from ingest.labels import Labelling
from ingest.repository import FeedbackRepository
from ingest.specification.document import document_hash, document_of
from ingest.specification.repository import SpecificationRepository
from tests.ingest.builders import START, event, feedback_record, interaction, interaction_record

if TYPE_CHECKING:
    from infra.db import Database

RESPONSES = ("r1", "r2", "r3")
PEOPLE = ("ann", "ben", "cid")
SPECIFICATIONS = (
    IngestSettings(window_seconds=10.0),
    IngestSettings(window_seconds=10.0, objectives={"reuse": {"window_seconds": 30.0}, "dwell": {"weight": 0.7}}),  # type: ignore[arg-type]
)
_projects = itertools.count()


@dataclass
class World:
    """One project of the store, and what was written into it at each instant."""

    connection: Connection
    project: str = field(default_factory=lambda: f"p{next(_projects)}")
    now: float = START
    written: dict[float, bytes] = field(default_factory=dict)
    reading: tuple[int, DwellModel] | None = None

    def happen(self, events: list[FeedbackEvent], specification: IngestSettings) -> None:
        """These events are read from the log."""
        FEEDBACK_HANDLER.apply(self.connection, [feedback_record(events)], Labelling.of(specification), self.now)

    def serve(self, response_id: str, specification: IngestSettings) -> None:
        """This interaction is read from the log, late or in time."""
        item = interaction(response_id, project=self.project, user_key="ann", created_at=START - 1)
        INTERACTION_HANDLER.apply(self.connection, [interaction_record([item])], Labelling.of(specification), self.now)

    def fit(self, intercept: float) -> None:
        """A new model of reading times comes into force."""
        steps = tuple(i / 50 - 1.0 for i in range(101))
        model = DwellModel({ALL_DEVICES: DeviceModel(intercept, 0.5, 0.3, steps, 200)}, 1.0, 600.0, 0.9)
        self.reading = (DwellRepository(self.connection, self.project).add(model, 200, self.now), model)

    def close(self, specification: IngestSettings, trust: dict[str, float], propensity: float) -> None:
        """The label job runs; what stands after it is remembered, as bytes."""
        labelling = Labelling.of(specification)
        SpecificationRepository(self.connection, self.project).record(
            labelling.config_hash, document_of(specification), self.now
        )
        evidence = Evidence(
            refused=frozenset({"share"}) if propensity > 2 else frozenset(),
            reading=self.reading[1] if self.reading else None,
            dwell_version=self.reading[0] if self.reading else None,
            trust=lambda voters: trust,
            propensities=lambda answers: dict.fromkeys(answers, propensity),
        )
        due = FeedbackRepository(self.connection, self.project).due(self.now, 1000)
        close(self.connection, self.project, due, Closing(labelling, self.now, self.now, evidence))
        self.written[self.now] = encoded(self.stored())

    def stored(self) -> list[Label]:
        """The newest final label of each answer, sorted by answer."""
        repository = FeedbackRepository(self.connection, self.project)
        found = repository.final_labels(RESPONSES)
        return [found[answer] for answer in sorted(found)]

    def rebuilt(self, instant: float) -> LabelSet:
        return labels_as_of(self.connection, self.project, instant)


def encoded(some: list[Label]) -> bytes:
    return msgspec.json.encode(some, order="deterministic")


@st.composite
def feedback(draw: st.DrawFn) -> dict[str, Any]:
    signal = draw(st.sampled_from(["shown", "like", "dislike", "dwell", "copy", "rating", "share"]))
    values = {"dwell": st.floats(0, 700), "rating": st.floats(0, 1)}
    return {
        "response_id": draw(st.sampled_from(RESPONSES)),
        "signal": signal,
        "choice": draw(st.sampled_from([0, 0, 1])),
        "operation": draw(st.sampled_from(["set", "set", "withdraw"])),
        "user_key": draw(st.sampled_from([None, *PEOPLE])),
        "device": draw(st.sampled_from([None, "mobile"])),
        "value": draw(values[signal]) if signal in values else None,
        "back": draw(st.floats(0, 20)),
    }


STEP = st.fixed_dictionaries(
    {
        "events": st.lists(feedback(), max_size=5),
        "serve": st.sampled_from([None, *RESPONSES]),
        "fit": st.sampled_from([None, None, 0.3, 1.2]),
        "seconds": st.floats(0.5, 25),
        "specification": st.sampled_from(SPECIFICATIONS),
        "trust": st.fixed_dictionaries({person: st.sampled_from([0.0, 0.3, 1.0]) for person in PEOPLE}),
        "propensity": st.floats(0.1, 5),
    }
)


@pytest.fixture
def connection(sqlite_database: "Database") -> Any:
    with sqlite_database.transaction() as connection:
        yield connection


@given(st.lists(STEP, min_size=1, max_size=7))
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_every_past_set_is_made_again_bit_for_bit(connection: Connection, steps: list[dict[str, Any]]) -> None:
    world = World(connection)
    for step in steps:
        events = []
        for given_event in step["events"]:
            fields = {name: value for name, value in given_event.items() if name != "back"}
            said = world.now - given_event["back"]
            events.append(event(**fields, project=world.project, derived_at=said, received_at=world.now))
        world.happen(events, step["specification"])
        if step["serve"]:
            world.serve(step["serve"], step["specification"])
        if step["fit"]:
            world.fit(step["fit"])
        world.now += step["seconds"]
        world.close(step["specification"], step["trust"], step["propensity"])
    for instant, before in world.written.items():
        made = world.rebuilt(instant)
        assert made.missing == []
        assert encoded(made.labels) == before


def a_history(connection: Connection) -> World:
    """Two labels of r1 (the second after a late like of ben), one of r2."""
    world = World(connection)
    world.serve("r1", SPECIFICATIONS[0])
    both = [event(r, s, project=world.project, user_key="ann") for r in ("r1", "r2") for s in ("shown", "like")]
    world.happen(both, SPECIFICATIONS[0])
    world.now += 20
    world.close(SPECIFICATIONS[0], {"ann": 0.5}, 1.0)
    late = [event("r1", s, project=world.project, user_key="ben", received_at=world.now) for s in ("shown", "dislike")]
    world.happen(late, SPECIFICATIONS[0])
    world.now += 20
    world.close(SPECIFICATIONS[0], {"ann": 0.5}, 1.0)
    return world


def test_on_both_stores(database: "Database") -> None:
    with database.transaction() as connection:
        world = a_history(connection)
        first, second = sorted(world.written)
        assert [label.version for label in world.rebuilt(first).labels] == [1, 1]
        assert [label.version for label in world.rebuilt(second).labels] == [2, 1]
        assert encoded(world.rebuilt(first).labels) == world.written[first]
        assert encoded(world.rebuilt(second).labels) == world.written[second]
        love = world.rebuilt(second).labels[0]
        assert love.values["love"] == pytest.approx(0.5 / 1.5)
        assert love.weights["love"] == pytest.approx(1.5)
        assert world.rebuilt(first - 1) == LabelSet(first - 1)


def test_erased_rows_are_named_and_their_labels_left_out(connection: Connection) -> None:
    world = a_history(connection)
    e = feedback_events.c
    bens = (e.project == world.project) & (e.user_key == "ben")
    ids = list(connection.execute(select(e.event_id).where(bens)).scalars())
    connection.execute(delete(feedback_events).where(bens))
    connection.execute(delete(labels).where(labels.c.project == world.project, labels.c.response_id == "r1"))
    TombstoneRepository(connection, world.project).add("event", ids, "e1", world.now)
    first, second = sorted(world.written)
    (missing,) = world.rebuilt(second).missing
    assert (missing.response_id, missing.version, missing.reason, missing.events_gone) == ("r1", 2, "erased", 2)
    assert [label.response_id for label in world.rebuilt(second).labels] == ["r2"]
    assert world.rebuilt(first).missing == []  # ben had said nothing then

    # What is left of r1 is labelled again, under a number that was never used.
    world.happen([event("r1", "copy", project=world.project, user_key="ann")], SPECIFICATIONS[0])
    world.now += 20
    world.close(SPECIFICATIONS[0], {}, 1.0)
    assert [label.version for label in world.stored()] == [3, 1]
    assert encoded(world.rebuilt(world.now).labels) == world.written[world.now]
    assert world.rebuilt(world.now).missing == []
    assert [one.response_id for one in world.rebuilt(second).missing] == ["r1"]


def test_rows_that_grew_too_old_are_named_as_expired(connection: Connection) -> None:
    world = a_history(connection)
    connection.execute(delete(interactions).where(interactions.c.project == world.project))
    (missing,) = world.rebuilt(world.now).missing
    assert (missing.response_id, missing.reason, missing.events_gone) == ("r1", "expired", 0)


def test_a_specification_the_store_lost_is_an_error_that_says_so(connection: Connection) -> None:
    world = a_history(connection)
    connection.execute(delete(reward_specifications).where(reward_specifications.c.project == world.project))
    with pytest.raises(UnknownVersion, match=document_hash(document_of(SPECIFICATIONS[0]))):
        world.rebuilt(world.now)
