"""What is known beside the ledger when windows close: trust, models of reading and of who votes, refused objectives."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from infra.settings import Settings
from ingest.dwell.repository import DwellRepository
from ingest.labels import Labelling
from ingest.objectives import Reading
from ingest.repository import Answer
from ingest.selection.evidence import vote_weights
from ingest.selection.repository import SelectionRepository
from ingest.trust.weights import voter_weights
from ingest.validity.repository import ValidityRepository
from ingest.validity.verdicts import refusals


def everybody(voters: Collection[str]) -> Mapping[str, float]:
    """Everybody is trusted fully."""
    return {}


def unweighted(answers: Collection[Answer]) -> Mapping[Answer, float]:
    """Every vote is the average vote."""
    return {}


@dataclass(frozen=True)
class Evidence:
    """What stands while one transaction closes windows. The default: nothing is known yet.

    `trust` gives the weight in [0, 1] of voters, `propensities` the weight > 0 of a vote about an answer; whoever is
    missing in what they give weighs 1. The versions say which models these are, for whoever makes the labels again.
    """

    refused: frozenset[str] = frozenset()
    reading: Reading | None = None
    dwell_version: int | None = None
    selection_version: int | None = None
    characters_per_token: float = 4.0
    trust: Callable[[Collection[str]], Mapping[str, float]] = everybody
    propensities: Callable[[Collection[Answer]], Mapping[Answer, float]] = unweighted


NOTHING_KNOWN = Evidence()


def standing_evidence(connection: Connection, settings: Settings, labelling: Labelling) -> Evidence:
    """What is known now, as the transaction of `connection` sees it."""
    project = settings.project
    reading = DwellRepository(connection, project).in_force()
    selection = SelectionRepository(connection, project).newest()
    verdicts = ValidityRepository(connection, project).newest()
    return Evidence(
        refused=frozenset(refusals(labelling.objectives, verdicts)),
        reading=reading[1] if reading else None,
        dwell_version=reading[0] if reading else None,
        selection_version=selection[0] if selection else None,
        characters_per_token=settings.ingest.dwell.characters_per_token,
        trust=partial(voter_weights, connection, project, prior_weight=settings.trust.prior_weight),
        propensities=partial(vote_weights, connection, project, selection[0], selection[2])
        if selection
        else unweighted,
    )
