"""The trust job from end to end: simulated people vote through the real log and consumer, and become rows of trust."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from infra.contracts import ManualClock
from infra.metrics import catalogue as metrics
from infra.runtime import Context, JobContext
from infra.settings.trust import TrustSettings
from ingest.consumer import FeedbackConsumer
from ingest.erasure.repository import TombstoneRepository
from ingest.erasure.tombstones import person_digest
from ingest.trust.honeypots import add_honeypot
from ingest.trust.jobs import JOBS, refresh_trust_metrics, run_trust, waits_for, without_erased
from ingest.trust.records import PersonTrust
from ingest.trust.repository import TrustRepository
from ingest.trust.service import TooFewVotes, make, read, report, report_now
from ingest.trust.weights import voter_weights
from tests.benchmarks.trust_population import (
    MAJORITY,
    MINORITY,
    RING,
    Attack,
    Population,
    events_of,
    interactions_of,
    key_of,
    simulate,
)
from tests.ingest.builders import PROJECT, START, event, interaction
from tests.ingest.test_consumer import send, serve

if TYPE_CHECKING:
    pass

DAY = 86400.0


@pytest.fixture(scope="module")
def population() -> Population:
    return simulate(1, Attack(votes=80, targets=80), people=240, answers=250)


@pytest.fixture
def voted(context: Context, clock: ManualClock, population: Population) -> Iterator[tuple[Context, FeedbackConsumer]]:
    """Everybody has voted; the consumer has read it all, twenty days after the first vote."""
    consumer = FeedbackConsumer(context)
    serve(context, *interactions_of(population))
    send(context, *events_of(population))
    clock.advance(20 * DAY)
    while consumer.drain():
        pass
    yield context, consumer
    consumer.close()


def newest(context: Context, as_of: float | None = None) -> dict[str, PersonTrust]:
    with context.database.reading() as connection:
        return TrustRepository(connection, PROJECT).newest(as_of)


def test_votes_become_weights(
    voted: tuple[Context, FeedbackConsumer], population: Population, clock: ManualClock
) -> None:
    context, _ = voted
    assert waits_for(context) is None
    outcome = run_trust(JobContext(context))
    assert outcome.status == "done"
    assert "12 in quarantine" in outcome.detail
    keys = [key_of(person) for person in range(240)]
    with context.database.reading() as connection:
        weights = voter_weights(connection, PROJECT, keys)
        before = voter_weights(connection, PROJECT, keys, as_of=clock.now() - 1.0)
    assert set(before.values()) == {1.0}
    by_role = {
        role: np.array([weights[key_of(p)] for p in np.flatnonzero(population.role == role)]) for role in range(4)
    }
    assert (by_role[RING] == 0.0).all()
    assert by_role[MINORITY].mean() > 0.85 * by_role[MAJORITY].mean()
    assert not any(weights[key_of(p)] == 0.0 for p in np.flatnonzero(population.role != RING))
    versions = newest(context)
    assert {one.status for one in versions.values()} == {"active", "quarantined"}
    for key, one in versions.items():
        assert one.reliability_low <= one.reliability_high
        assert not any(other in reason for reason in one.reasons for other in keys), key

    refresh_trust_metrics(context)
    assert metrics.TRUST_QUARANTINED._value.get() == 12.0
    assert 100 < metrics.TRUST_EFFECTIVE_PEOPLE._value.get() < 240
    assert 0.04 < metrics.TRUST_TOP_SHARE._value.get() < 0.2

    # Nothing new, nothing written.
    clock.advance(DAY)
    assert " 0 new versions" in run_trust(JobContext(context)).detail


def test_an_estimate_can_be_made_again_as_of_its_instant(
    sqlite_context: Context, clock: ManualClock, population: Population
) -> None:
    context = sqlite_context
    consumer = FeedbackConsumer(context)
    serve(context, *interactions_of(population))
    send(context, *events_of(population))
    clock.advance(20 * DAY)
    while consumer.drain():
        pass
    run_trust(JobContext(context))
    made = newest(context)
    some = next(iter(made.values()))
    clock.advance(1 * DAY)
    # Everybody changes their mind afterwards.
    send(
        context, *(event(f"chatcmpl-{i:06}", "dislike", user_key=key_of(i), derived_at=clock.now()) for i in range(200))
    )
    while consumer.drain():
        pass
    consumer.close()
    settings = context.settings.trust
    with context.database.reading() as connection:
        named = read(connection, PROJECT, settings, some.votes_until)
        again = make(named, {}, settings, some.votes_until, some.estimated_at)
    assert {one.user_key: one for one in again.versions} == made


def test_a_quarantine_ends_when_its_evidence_does(
    context: Context, clock: ManualClock, consumer: FeedbackConsumer
) -> None:
    with context.database.transaction() as connection:
        ring = PersonTrust(
            user_key="ada", estimated_at=START - DAY, votes_until=START - DAY, weight=0.0, reliability=0.5,
            reliability_low=0.1, reliability_high=0.9, votes=99, status="quarantined", reasons=("a ring",),
            config_hash="",
        )  # fmt: skip
        TrustRepository(connection, PROJECT).append([ring])
    few = context.settings.trust.model_copy(update={"min_votes": 3})
    object.__setattr__(context, "settings", context.settings.model_copy(update={"trust": few}))
    send(context, *(event(f"r{i}", "like", user_key=f"p{i}") for i in range(5)))
    clock.advance(DAY)
    consumer.drain()
    assert run_trust(JobContext(context)).status == "done"
    freed = newest(context)["ada"]
    assert (freed.status, freed.weight, freed.votes) == ("active", 1.0, 0)
    assert "older than 28 days" in freed.reasons[0]
    assert newest(context, as_of=START)["ada"] == ring  # recorded, never deleted


def test_too_few_votes_are_counted(context: Context, clock: ManualClock, consumer: FeedbackConsumer) -> None:
    assert "ingest consume" in (waits_for(context) or "")
    assert run_trust(JobContext(context)).status == "skipped"
    send(context, event("r1", "like", user_key="ada"), event("r1", "shown", user_key="ada"))
    clock.advance(DAY)
    consumer.drain()
    outcome = run_trust(JobContext(context))
    assert (outcome.status, outcome.detail) == ("skipped", "199 more votes are needed before trust can be estimated")
    assert waits_for(context) == outcome.detail
    with context.database.reading() as connection, pytest.raises(TooFewVotes):
        read(connection, PROJECT, TrustSettings(), clock.now())


def test_votes_not_yet_surely_read_are_left_for_the_next_time(
    context: Context, clock: ManualClock, consumer: FeedbackConsumer
) -> None:
    few = context.settings.trust.model_copy(update={"min_votes": 1})
    object.__setattr__(context, "settings", context.settings.model_copy(update={"trust": few}))
    send(context, event("r1", "like", user_key="ada"))
    consumer.drain()
    assert "1 more vote is" in run_trust(JobContext(context)).detail
    clock.advance(61.0)
    consumer.drain()
    assert run_trust(JobContext(context)).status == "done"


def test_whoever_is_erased_during_an_estimate_gets_no_row(context: Context, clock: ManualClock) -> None:
    versions = [
        PersonTrust(
            user_key=key, estimated_at=START, votes_until=START, weight=1.0, reliability=0.5, reliability_low=0.1,
            reliability_high=0.9, votes=1, status="active", reasons=(), config_hash="",
        )
        for key in ("ada", "bob")
    ]  # fmt: skip
    with context.database.transaction() as connection:
        assert without_erased(connection, PROJECT, versions, START) == versions
        TombstoneRepository(connection, PROJECT).add_people([person_digest(PROJECT, "ada")], "an erasure", START + 5)
        assert [one.user_key for one in without_erased(connection, PROJECT, versions, START)] == ["bob"]
        assert without_erased(connection, PROJECT, versions, START + 10) == versions  # came back and voted since


def test_a_honeypot_scores_duels_from_when_it_was_added(
    context: Context, clock: ManualClock, consumer: FeedbackConsumer
) -> None:
    serve(context, interaction("r1"), interaction("r2"))
    send(context, event("r2", "duel", user_key="ada", other_response_id="r1"))
    consumer.drain()
    clock.advance(DAY)
    add_honeypot(context, ("r1", 0), ("r2", 0), "the other is false")
    settings = TrustSettings(min_votes=1)
    with context.database.reading() as connection:
        before = read(connection, PROJECT, settings, clock.now() - 1.0)
        after = read(connection, PROJECT, settings, clock.now())
    assert np.isnan(before.evidence.right).tolist() == [True]
    assert after.evidence.right.tolist() == [0.0]


def test_who_taught_the_model(context: Context, clock: ManualClock, consumer: FeedbackConsumer) -> None:
    send(
        context,
        *(event(f"r{i}", "like", user_key="ada") for i in range(8)),
        *(event(f"r{i}", "dislike", user_key="bob", derived_at=START - 10) for i in range(4)),
        event("r1", "like", user_key="old", derived_at=START - 9 * DAY),
        event("r1", "shown", user_key="reader"),
    )
    consumer.drain()
    with context.database.transaction() as connection:
        half = PersonTrust(
            user_key="ada", estimated_at=START, votes_until=START, weight=0.25, reliability=0.5, reliability_low=0.1,
            reliability_high=0.9, votes=8, status="active", reasons=(), config_hash="",
        )  # fmt: skip
        TrustRepository(connection, PROJECT).append([half])
    clock.advance(1.0)
    told = report_now(context, 7.0)
    assert [(one.user_key, one.votes, one.mass) for one in told.teachers] == [("bob", 4, 4.0), ("ada", 8, 2.0)]
    assert told.weighted.effective == pytest.approx(36 / 20)
    assert told.raw.effective == pytest.approx(144 / 80)
    assert told.quarantined == []
    with context.database.reading() as connection:
        earlier = report(connection, PROJECT, context.settings.trust, 0.0, START)
    assert {one.user_key for one in earlier.teachers} == {"ada", "bob", "old"}


def test_the_job_is_declared() -> None:
    (job,) = JOBS
    assert (job.name, job.child) == ("trust", True)
