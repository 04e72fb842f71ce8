"""Which rows an experiment's people come from: those it routed or, for a sentinel, the champion's own, on paper."""

from sqlalchemy import Connection

from ab_testing.facts_repository import FactsRepository
from ab_testing.values_repository import ValuesRepository
from infra.contracts import Experiment


def values_repository(connection: Connection, experiment: Experiment) -> ValuesRepository:
    """Exposures and values of an experiment."""
    return ValuesRepository(connection, experiment.project, experiment.experiment_id)


def facts_repository(connection: Connection, experiment: Experiment) -> FactsRepository:
    """What is known about an experiment's people."""
    return FactsRepository(connection, experiment)
