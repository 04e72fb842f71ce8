"""Trust made and told: an estimate from the store, its versions, and who taught the model lately."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from infra.contracts import PlauditError
from infra.settings.trust import TrustSettings
from ingest.trust.concentration import Concentration, concentration
from ingest.trust.gathering import Gathered, Named, gather, to_evidence
from ingest.trust.honeypots_repository import HoneypotRepository
from ingest.trust.records import PersonTrust, too_few
from ingest.trust.repository import TrustRepository
from ingest.trust.votes_repository import VotesRepository

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from infra.runtime import Context
    from ingest.trust.estimate import Estimate

NEWS = 0.01
"""A person gets a new version when weight or reliability moved by as much, or status or reasons changed."""


class TooFewVotes(PlauditError):
    """There is too little to estimate anything from."""

    code = "too_few_votes"
    status = 409


@dataclass(frozen=True)
class Outcome:
    """What an estimate came to: the versions that say something new, and the whole of it for reports."""

    versions: list[PersonTrust]
    named: Named
    estimate: "Estimate"


def config_hash(settings: TrustSettings) -> str:
    """SHA-256 of the settings an estimate was made under."""
    return hashlib.sha256(msgspec.json.encode(settings.model_dump(mode="json"), order="sorted")).hexdigest()


def read(connection: "Connection", project: str, settings: TrustSettings, votes_until: float) -> Named:
    """The evidence of the ledger as received up to `votes_until`: the same whenever it is read, except for rows erased
    since, and for the words of answers whose interaction came to be known only since.

    Raises TooFewVotes with the number still needed.
    """
    gathered = _gathered(connection, project, settings, votes_until - settings.evidence_seconds, votes_until)
    missing = settings.min_votes - len(gathered.opinions) - len(gathered.duels)
    if missing > 0:
        raise TooFewVotes(too_few(missing))
    votes = VotesRepository(connection, project)
    voters: dict[tuple[str, int], int] = {}
    for opinion in gathered.opinions:
        voters[opinion.answer] = voters.get(opinion.answer, 0) + 1
    wanted = sorted(voters, key=lambda answer: (-voters[answer], answer))[: settings.max_texts]
    texts = votes.texts({response_id for response_id, _ in wanted})
    pairs = {
        (one.better, one.worse) for one in HoneypotRepository(connection, project).all() if one.added_at <= votes_until
    }
    return to_evidence(gathered, texts, pairs, settings)


def make(
    named: Named, known: dict[str, PersonTrust], settings: TrustSettings, votes_until: float, now: float
) -> Outcome:
    """Estimate, and say what is new against `known`, the newest versions. Pure."""
    from ingest.trust.estimate import estimate
    from ingest.trust.reasons import reasons_of, released, released_again

    found = estimate(named.evidence, settings)
    low, high, counts = found.low, found.high, named.evidence.counts
    reasons, digest = reasons_of(found, settings), config_hash(settings)
    versions = []
    for i, user_key in enumerate(named.people):
        before = known.get(user_key)
        out = bool(found.quarantined[i])
        freed = before is not None and before.status == "quarantined" and not out
        version = PersonTrust(
            user_key=user_key,
            estimated_at=now,
            votes_until=votes_until,
            weight=round(float(found.weight[i]), 6),
            reliability=round(float(found.reliability[i]), 6),
            reliability_low=round(float(low[i]), 6),
            reliability_high=round(float(high[i]), 6),
            votes=int(counts[i]),
            status="quarantined" if out else "active",
            reasons=(released_again(), *reasons[i]) if freed else reasons[i],
            config_hash=digest,
        )
        if before is None or _news(before, version):
            versions.append(version)
    present = set(named.people)
    for user_key, before in sorted(known.items()):
        if before.status == "quarantined" and user_key not in present:
            versions.append(_free(before, released(settings), settings, votes_until, now))
    return Outcome(versions, named, found)


def _free(
    before: PersonTrust, reasons: tuple[str, ...], settings: TrustSettings, votes_until: float, now: float
) -> PersonTrust:
    return msgspec.structs.replace(
        before,
        estimated_at=now,
        votes_until=votes_until,
        weight=settings.prior_weight,
        votes=0,
        status="active",
        reasons=reasons,
        config_hash=config_hash(settings),
    )


def _news(before: PersonTrust, now: PersonTrust) -> bool:
    if (before.status, before.config_hash) != (now.status, now.config_hash):
        return True
    return abs(before.weight - now.weight) >= NEWS or abs(before.reliability - now.reliability) >= NEWS


@dataclass(frozen=True)
class Teacher:
    """One person's part in what was taught: votes given, and what they weigh together."""

    user_key: str
    votes: int
    mass: float
    trust: PersonTrust | None


@dataclass(frozen=True)
class Report:
    """Who taught the model from `since` to `until`: everybody, the heaviest first; and who is in quarantine."""

    since: float
    until: float
    teachers: list[Teacher]
    weighted: Concentration
    raw: Concentration
    quarantined: list[PersonTrust]


def report(connection: "Connection", project: str, settings: TrustSettings, since: float, until: float) -> Report:
    """Votes of a stretch of time, each weighing what its person weighs now."""
    gathered = _gathered(connection, project, settings, since, until)
    known = TrustRepository(connection, project).newest()
    votes: dict[str, int] = {}
    for person, _ in gathered.acts:
        votes[person] = votes.get(person, 0) + 1
    teachers = []
    for person, count in votes.items():
        trust = known.get(person)
        weight = trust.weight if trust else settings.prior_weight
        teachers.append(Teacher(person, count, count * weight, trust))
    teachers.sort(key=lambda one: (-one.mass, -one.votes, one.user_key))
    return Report(
        since=since,
        until=until,
        teachers=teachers,
        weighted=concentration(np.array([one.mass for one in teachers])),
        raw=concentration(np.array([float(one.votes) for one in teachers])),
        quarantined=sorted(
            (one for one in known.values() if one.status == "quarantined"), key=lambda one: (-one.votes, one.user_key)
        ),
    )


def report_now(context: "Context", days: float) -> Report:
    """The report of the last `days` days."""
    until = context.clock.now()
    with context.database.reading() as connection:
        return report(connection, context.settings.project, context.settings.trust, until - days * 86400.0, until)


def _gathered(connection: "Connection", project: str, settings: TrustSettings, since: float, until: float) -> Gathered:
    votes = VotesRepository(connection, project)
    ledgers = votes.ledgers(since, until, settings.max_votes)
    return gather(ledgers, votes.owners(ledgers))
