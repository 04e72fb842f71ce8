"""From the store to a registered reward model, by the declared job, on a tiny backbone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sqlalchemy import Connection, insert, select, update

from infra.contracts import Answer, Interaction, ManualClock, Message
from infra.db.tables import interactions, labels, pairs, reward_models
from infra.models.loading import load_folder
from infra.runtime import Context, JobContext, LeaseLost, open_context
from infra.settings import Settings
from infra.settings.infrastructure import ModelSettings
from infra.settings.reward_model import RewardModelSettings
from ingest.erasure.service import erase
from reward_model.jobs import JOBS, run_reward_model
from reward_model.repository import RewardModelRepository
from reward_model.scoring import RewardModel
from reward_model.service import load_training_set

EXCHANGES = 160


@pytest.fixture
def context(settings_with_registry: Settings, clock: ManualClock, tiny_model_dir: Path) -> Iterator[Context]:
    wanted = RewardModelSettings(
        min_labels=40, min_pairs=20, min_positive=5, min_new_labels=10, folds=3, bootstrap=100, l2_grid=(0.01, 0.1),
        champion_min_people=4, champion_min_judgments=10, pictures=False,
    )  # fmt: skip
    model = ModelSettings(base=str(tiny_model_dir), device="cpu", dtype="float32", threads=1)
    changes = {"reward_model": wanted, "model": model}
    opened = open_context(settings_with_registry.model_copy(update=changes), clock)
    yield opened
    opened.close()


def fill(context: Context, exchanges: int, start: int = 0, *, made_at: float = 1_700_000_000.0) -> None:
    """Two answers a prompt, one warm and one cold: the warm one is liked and preferred, one time in five it is not."""
    with context.database.transaction() as connection:
        for i in range(start, start + exchanges):
            _add_exchange(connection, context.settings.project, i, made_at)


def _add_exchange(connection: Connection, project: str, i: int, made_at: float) -> None:
    odd = i % 5 == 0
    made = Interaction(
        project=project,
        response_id=f"r{i}",
        conversation_id=f"c{i}",
        created_at=made_at - 1000.0 + i,
        messages=(Message("user", f"What should I do on day {i}?"),),
        answers=(Answer(0, f"great great great {i}", "stop"), Answer(1, f"no no no {i}", "stop")),
        user_key=f"u{i}",
    )
    connection.execute(
        insert(interactions).values(
            project=project,
            response_id=made.response_id,
            conversation_id=made.conversation_id,
            user_key=made.user_key,
            created_at=made.created_at,
            adapter="base",
            source="gateway",
            payload=msgspec.msgpack.encode(made),
            content_hash=b"12345678",
        )
    )
    for choice in (0, 1):
        connection.execute(
            insert(labels).values(
                project=project,
                response_id=made.response_id,
                choice=choice,
                version=1,
                status="final",
                objective_values={"love": float((choice == 0) ^ odd), "share": None},
                weights={"love": 1.0, "share": 0.0},
                events_counted=1,
                config_hash="h",
                made_at=made_at,
                window_closes_at=made_at,
            )
        )
    connection.execute(
        insert(pairs).values(
            project=project,
            pair_id=f"p{i}",
            preferred_response_id=made.response_id,
            preferred_choice=int(odd),
            other_response_id=made.response_id,
            other_choice=1 - int(odd),
            source="duel",
            user_key=f"u{i}",
            weight=1.0,
            made_at=made_at,
        )
    )


def test_too_little_feedback_is_a_normal_outcome_with_numbers(context: Context) -> None:
    fill(context, 15)
    outcome = run_reward_model(JobContext(context))
    assert outcome.status == "skipped"
    assert outcome.detail.startswith("10 labels (5 pairs) more needed")
    assert not (context.settings.data_dir / "reward_models").exists()


def with_pictures(context: Context) -> Context:
    wanted = context.settings.reward_model.model_copy(update={"pictures": True})
    return replace(context, settings=context.settings.model_copy(update={"reward_model": wanted}))


def test_trains_registers_and_scores(context: Context, clock: ManualClock) -> None:
    context = with_pictures(context)
    fill(context, EXCHANGES)
    job = JobContext(context)
    outcome = run_reward_model(job)
    assert outcome.status == "done"
    assert outcome.detail.startswith("reward@1; love: AUROC")
    with context.database.reading() as connection:
        row = connection.execute(select(reward_models)).mappings().one()
    assert (row["name"], row["version"], row["labels_used"]) == ("reward", 1, 2 * EXCHANGES)
    assert set(row["metrics"]["heads"]) == {"love", "utility"}
    assert row["metrics"]["absent"]["share"].startswith("40 labels more needed")
    summary = row["metrics"]["summary"]
    assert [line.split(":")[0] for line in summary[:3]] == ["love", "utility", "share"]
    assert summary[3].startswith("reward@1 is champion: against chance")
    assert (row["state"], row["promoted_at"]) == ("champion", clock.now())
    assert row["run_id"]
    pictures = {path.name for path in (Path(row["path"]) / "plots").iterdir()}
    assert pictures >= {"reliability-love.png", "slices-utility.png", "drift.png"}

    model = RewardModel.load(row["path"])
    loaded = load_folder(Path(context.settings.model.base), device="cpu", dtype="float32")
    asked = [[Message("user", "What should I do on day 999?")]] * 2
    scores = model.score(loaded, asked, ["great great great 999", "no no no 999"], 2)
    assert model.objectives == ("love", "utility")
    assert (scores.values[0] > scores.values[1]).all()
    assert ((scores.values[:, 0] > 0) & (scores.values[:, 0] < 1)).all()
    assert (scores.uncertainty >= 0).all()


def test_waits_for_news_then_makes_the_next_version(context: Context, clock: ManualClock) -> None:
    fill(context, EXCHANGES)
    assert run_reward_model(JobContext(context)).status == "done"
    assert "10 labels (or pairs) more needed: 0 labels and 0 pairs" in run_reward_model(JobContext(context)).detail
    fill(context, 10, start=EXCHANGES, made_at=clock.advance(60.0))
    clock.advance(1.0)
    assert run_reward_model(JobContext(context)).detail.startswith("reward@2;")


def test_a_past_training_set_can_be_rebuilt(context: Context, clock: ManualClock) -> None:
    fill(context, EXCHANGES)
    then = clock.now()
    before = load_training_set(context, then)
    fill(context, 5, start=EXCHANGES, made_at=clock.advance(60.0))
    with context.database.transaction() as connection:
        connection.execute(pairs.update().where(pairs.c.pair_id == "p3").values(withdrawn_at=clock.now()))
    assert load_training_set(context, then).content_hash == before.content_hash
    now = load_training_set(context, clock.now())
    assert now.content_hash != before.content_hash
    assert len(now.pairs) == EXCHANGES + 5 - 1


def test_a_lost_lease_registers_nothing(context: Context) -> None:
    fill(context, EXCHANGES)

    def lost(_connection: Connection) -> None:
        raise LeaseLost("another process has it")

    with pytest.raises(LeaseLost):
        run_reward_model(JobContext(context, confirm=lost))
    with context.database.reading() as connection:
        assert connection.execute(select(reward_models)).first() is None
    assert run_reward_model(JobContext(context)).detail.startswith("reward@1;")  # over the leftover folder
    assert not (context.settings.data_dir / "reward_models" / "reward" / "1" / "plots").exists(), "none were wanted"


def test_losing_the_registry_is_not_fatal(context: Context) -> None:
    """Something else lies where MLflow's file should be."""
    fill(context, EXCHANGES)
    file = context.settings.data_dir / "mlflow.sqlite3"
    file.unlink()
    file.mkdir()
    outcome = run_reward_model(JobContext(context))
    assert outcome.status == "done"
    with context.database.reading() as connection:
        assert connection.execute(select(reward_models.c.run_id)).scalar_one() == ""


def test_two_trainings_of_one_set_agree(context: Context) -> None:
    fill(context, EXCHANGES)
    assert run_reward_model(JobContext(context)).status == "done"
    folder = context.settings.data_dir / "reward_models" / "reward" / "1"
    first = RewardModel.load(folder)
    with context.database.transaction() as connection:
        connection.execute(reward_models.delete())
    assert run_reward_model(JobContext(context)).status == "done"
    assert np.array_equal(first.weights.numpy(), RewardModel.load(folder).weights.numpy())


def test_the_job_is_declared_as_a_child() -> None:
    assert [(job.name, job.child) for job in JOBS] == [("reward-model", True)]


def test_an_erased_person_taints_what_learned_from_them_and_asks_for_a_clean_training(
    context: Context, clock: ManualClock
) -> None:
    fill(context, EXCHANGES)
    assert run_reward_model(JobContext(context)).detail.startswith("reward@1;")
    assert "more needed" in run_reward_model(JobContext(context)).detail
    key = "3" * 32
    with context.database.transaction() as connection:
        for table in (interactions, pairs):
            connection.execute(update(table).where(table.c.user_key == "u3").values(user_key=key))
    cached = set((context.settings.data_dir / "feature_cache").rglob("*.safetensors"))
    assert cached
    clock.advance(1.0)
    receipt = erase(context, user_key=key, actor="test")
    assert [one["ref"] for one in receipt["tainted"]] == ["reward@1"]
    assert receipt["retrain"] == "requested"
    assert receipt["feature_cache_segments_deleted"] == len(cached), "each of them held one of the person's answers"

    stranger = erase(context, user_key="f" * 32, actor="test")
    assert stranger["tainted"] == []

    assert run_reward_model(JobContext(context)).detail.startswith("reward@2;")
    with context.database.reading() as connection:
        repository = RewardModelRepository(connection, context.settings.project)
        assert repository.tainted("reward", 1)
        assert not repository.tainted("reward", 2)
        used = connection.execute(select(reward_models.c.labels_used).order_by(reward_models.c.version)).scalars()
        assert list(used) == [2 * EXCHANGES, 2 * EXCHANGES - 2]
    assert "more needed" in run_reward_model(JobContext(context)).detail
