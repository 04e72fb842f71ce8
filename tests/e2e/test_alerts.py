"""What is broken in a running `plaudit up` fires its alert in a real Prometheus, and what is mended clears it.

The same rules as in production, a minute made a second long.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, text, update

from ab_testing.control import command
from ab_testing.repository import ExperimentRepository
from infra.contracts import AdapterVersion, Experiment, Fingerprint, Interaction, new_response_id, stable_hash
from infra.contracts.adapters import AdapterState
from infra.db.tables import adapters, experiment_states, serving_state
from infra.event_log import Record
from infra.models.loading import load_folder
from infra.settings import Settings
from ingest.codec import INTERACTION_CODEC
from ingest.consumer import FeedbackConsumer
from ingest.topics import interactions_topic
from plaudit.monitoring.promql import Scale
from plaudit.monitoring.rules import rules_file
from tests.e2e.deployment import PROJECT, Deployment
from tests.e2e.prometheus import SCRAPE_SECONDS, prometheus
from tests.fixtures.helpers import wait_until
from tests.models_fixtures import make_tiny_lora, make_tiny_model

SCALE = Scale(factor=1 / 60, shortest_range_seconds=4 * SCRAPE_SECONDS)
WATCHED = {"ConsumerStopped": 3.0, "JobFailing": 5.0, "ChampionStale": 5.0, "SampleRatioMismatch": 1.0}
"""Alert -> seconds after which it fires in this scale: its threshold and how long it must hold."""
SLACK_SECONDS = 20.0
"""Until a job notices, a scrape, an evaluation, and a machine that is busy with other tests."""
PEOPLE = 80
SETTINGS: dict[str, dict[str, Any]] = {
    "jobs": {"reward_model_every_seconds": 3600.0, "policy_update_every_seconds": 3600.0},
    "monitoring": {"refresh_seconds": 0.1},
    "retention": {"every_seconds": 0.5},
    "ab_testing": {"allowed_lateness_seconds": 0.1},
    "event_log": {"partitions": 2},
}


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment of its own: what is broken here is nobody else's."""
    deployed = Deployment(tmp_path, make_tiny_model(tmp_path / "model"), SETTINGS)
    deployed.ensure_ready()
    yield deployed
    deployed.close()


@pytest.mark.timeout(400)
def test_what_is_broken_fires_and_what_is_mended_clears(watched: Deployment, tmp_path: Path) -> None:
    rules = rules_file(watched.settings, SCALE)
    with prometheus(tmp_path / "prometheus", rules, watched.url.removeprefix("http://")) as server:
        wait_until(lambda: server.value("plaudit_serving_champion_proven"), 60.0, "a first scrape")
        assert not server.firing().keys() & WATCHED.keys()
        with broken_champion(watched), skewed_experiment(watched, tmp_path), failing_job(watched), hung(watched):
            for alert, seconds in WATCHED.items():
                waited = server.seconds_until(
                    lambda alert=alert: alert in server.firing(), seconds + SLACK_SECONDS, f"{alert} to fire"
                )
                print(f"{alert} fired {waited:.1f} s after the one before it in the list")
            labels = server.firing()
        assert (labels["ConsumerStopped"]["severity"], labels["JobFailing"]["job_name"]) == ("critical", "retention")
        for alert in WATCHED:
            server.seconds_until(lambda alert=alert: alert not in server.firing(), SLACK_SECONDS, f"{alert} to clear")
        assert watched.up.alive()


@contextmanager
def broken_champion(deployment: Deployment) -> Iterator[None]:
    """A champion whose files are gone: the gateway cannot prove it and answers with the one before."""
    _insert(deployment, "stale", "/nowhere", "champion", {}, Fingerprint("", (), 0.0), "")
    _point_at(deployment, "stale@1")
    yield
    _point_at(deployment, "base")


@contextmanager
def skewed_experiment(deployment: Deployment, folder: Path) -> Iterator[None]:
    """An experiment, begun by the decide job, in which everybody lands in one arm."""
    base = load_folder(Path(deployment.settings.model.base), device="cpu", dtype="float32")
    hashes, fingerprint = make_tiny_lora(base, folder / "skewed", seed=3)
    _insert(deployment, "skewed", str(folder / "skewed"), "challenger", hashes, fingerprint, base.base_model_hash)
    running = wait_until(lambda: _running(deployment), 60.0, "the experiment to begin")
    with deployment.opened() as context:
        records = [_record(_answer(running, number), context.settings) for number in range(PEOPLE)]
        context.event_log.append(interactions_topic(context.settings), records).result(30.0)
        wait_until(lambda: _counted(deployment) >= PEOPLE, 60.0, "everybody to be counted into the sample ratio")
        yield
        command(context, "abort", "the drill is over")


@contextmanager
def failing_job(deployment: Deployment) -> Iterator[None]:
    """The retention job finds no table of erasures."""
    _execute(deployment, "ALTER TABLE erasures RENAME TO erasures_away")
    yield
    _execute(deployment, "ALTER TABLE erasures_away RENAME TO erasures")


@contextmanager
def hung(deployment: Deployment) -> Iterator[None]:
    """A second consumer joins the group and then stands still, with its partitions in its hands."""
    with deployment.opened() as context:
        consumer = FeedbackConsumer(context)
        wait_until(lambda: _joined(consumer), 60.0, "the second consumer to have partitions")
        yield
        consumer.close()


def _joined(consumer: FeedbackConsumer) -> bool:
    for topic in consumer.topics:
        topic.step()
    return all(topic.assigned for topic in consumer.topics)


def _insert(
    deployment: Deployment,
    name: str,
    path: str,
    state: AdapterState,
    file_hashes: dict[str, str],
    fingerprint: Fingerprint,
    base_model_hash: str,
) -> None:
    row = AdapterVersion(
        project=PROJECT, name=name, version=1, path=path, base_model_hash=base_model_hash, file_hashes=file_hashes,
        fingerprint=fingerprint, state=state, parent="base", created_at=1.0,
    )  # fmt: skip
    with deployment.database.transaction() as connection:
        connection.execute(adapters.insert().values(**msgspec.to_builtins(row)))


def _point_at(deployment: Deployment, champion: str) -> None:
    with deployment.database.transaction() as connection:
        connection.execute(
            update(serving_state)
            .where(serving_state.c.project == PROJECT)
            .values(champion=champion, last_proven="base")
        )


def _running(deployment: Deployment) -> Experiment | None:
    with deployment.database.reading() as connection:
        return next(iter(ExperimentRepository(connection, PROJECT).running()), None)


def _answer(experiment: Experiment, number: int) -> Interaction:
    response_id = new_response_id()
    return Interaction(
        project=PROJECT, response_id=response_id, conversation_id=response_id, created_at=time.time() - 1.0,
        messages=(), answers=(), adapter=experiment.challenger, user_key=f"person-{number}",
        experiment=experiment.experiment_id, arm="challenger", propensity=experiment.phase.share,
        phase=experiment.phase.index,
    )  # fmt: skip


def _record(interaction: Interaction, settings: Settings) -> Record:
    key = interaction.response_id
    partition = stable_hash(key, settings.event_log.partitions)
    return Record(key=key.encode(), value=INTERACTION_CODEC.encode([interaction]), partition=partition)


def _counted(deployment: Deployment) -> int:
    columns = experiment_states.c
    with deployment.database.reading() as connection:
        query = select(func.sum(columns.people)).where(columns.project == PROJECT, columns.metric == ":people")
        return connection.execute(query).scalar_one() or 0


def _execute(deployment: Deployment, statement: str) -> None:
    with deployment.database.transaction() as connection:
        connection.execute(text(statement))
