"""All rules, from one place: `infra/deploy/prometheus/rules.yml` is this in real time, tests read it in short time."""

from infra.settings import Settings
from plaudit.monitoring.alerts_ingest import ingest_group, logs_group
from plaudit.monitoring.alerts_jobs import JOBS_GROUP
from plaudit.monitoring.alerts_learning import EXPERIMENTS_GROUP, LEARNING_GROUP
from plaudit.monitoring.alerts_serving import SERVING_GROUP
from plaudit.monitoring.promises import promises_group
from plaudit.monitoring.promql import REAL_TIME, Alert, Group, Recording, Scale, rules_yaml

RUNBOOKS = "https://github.com/plaudit/plaudit/blob/main/docs/runbooks"
"""Where the pages of `docs/runbooks` are read."""

HEAD = """Written by `plaudit config rules`; a test keeps it true. Change the rules in plaudit/monitoring, not here."""


def groups(settings: Settings) -> tuple[Group, ...]:
    """Every rule; recording rules stand before the alerts that use them."""
    return (
        promises_group(settings.monitoring),
        ingest_group(),
        logs_group(),
        SERVING_GROUP,
        JOBS_GROUP,
        LEARNING_GROUP,
        EXPERIMENTS_GROUP,
    )


def alerts(settings: Settings) -> list[Alert]:
    """The alerting rules alone."""
    return [rule for group in groups(settings) for rule in group.rules if isinstance(rule, Alert)]


def recordings(settings: Settings) -> list[Recording]:
    """The recording rules alone."""
    return [rule for group in groups(settings) for rule in group.rules if isinstance(rule, Recording)]


def rules_file(settings: Settings, scale: Scale = REAL_TIME, runbooks: str = RUNBOOKS) -> str:
    """The text of the rules file."""
    return rules_yaml(groups(settings), runbooks, scale, HEAD)
