"""The reward model's own rows, on SQLite and PostgreSQL. (What it learns from: `test_evidence_repository`.)"""

import pytest

from infra.db import Database
from reward_model.repository import RewardModelRepository, instant_seconds, instant_text


def test_rows_of_reward_models(database: Database) -> None:
    row = {
        "name": "reward",
        "path": "/x",
        "base_model_hash": "b",
        "file_hashes": {"f": "h"},
        "metrics": {"heads": {}},
        "data_hash": "d",
        "labels_used": 3,
        "labels_as_of": instant_text(12.5),
        "run_id": "",
        "created_at": 13.0,
    }
    with database.transaction() as connection:
        repository = RewardModelRepository(connection, "p")
        assert repository.newest("reward") is None
        for version in (1, 2):
            repository.add({**row, "version": version})
    with database.reading() as connection:
        found = RewardModelRepository(connection, "p").newest("reward")
        assert found is not None
        assert found["version"] == 2
        assert instant_seconds(found["labels_as_of"]) == 12.5
        assert RewardModelRepository(connection, "q").newest("reward") is None


@pytest.mark.parametrize("seconds", [0.0, 1_700_000_000.123456, 1.9e9])
def test_instants_survive_their_text(seconds: float) -> None:
    text = instant_text(seconds)
    assert len(text) <= 32
    assert instant_seconds(text) == pytest.approx(seconds, abs=1e-6)
