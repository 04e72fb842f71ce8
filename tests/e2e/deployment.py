"""`plaudit up` as a user starts it, with a tiny random model and windows of seconds: the same system, only smaller."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from infra.db import Database
from infra.db.tables import job_runs
from infra.runtime import Context, open_context
from infra.settings import Settings, load_settings
from infra.settings.describing import toml_value
from plaudit.demo.process import UpProcess
from tests.fixtures.helpers import free_port

PROJECT = "e2e"
TRAININGS = ("reward-model", "policy-update")


def settings_document(folder: Path, model: Path) -> dict[str, Any]:
    """What `plaudit.toml` of the drills says: a handful of labels is enough to train on, and training takes seconds."""
    return {
        "project": PROJECT,
        "data_dir": str(folder / "data"),
        "model": {"base": str(model), "dtype": "float32", "threads": 1},
        "ingest": {"window_seconds": 2.0, "allowed_lateness_seconds": 0.5, "watermark_refresh_seconds": 0.25},
        "jobs": {
            "heartbeat_seconds": 0.5,
            "label_every_seconds": 0.5,
            "decide_every_seconds": 1.0,
            "reward_model_every_seconds": 2.0,
            "policy_update_every_seconds": 2.0,
            "registry_every_seconds": 3600.0,
            "child_threads": 1,
            "child_niceness": 0,  # on a busy machine the drill would wait for ever
        },
        "reward_model": {
            "min_labels": 20,
            "min_positive": 3,
            "min_new_labels": 20,
            "min_pairs": 100_000,
            "max_labels": 200,
            "champion_rule": "newest",  # a random model is never shown to be better than another
            "layers": [1, 2],
            "components": 8,
            "folds": 2,
            "l2_grid": [0.1],
            "ensemble": 2,
            "bootstrap": 100,
            "pictures": False,
        },
        "policy_update": {
            "steps": 1,
            "prompts_per_step": 2,
            "group_size": 2,
            "micro_batch_prompts": 2,
            "max_new_tokens": 8,
            "min_prompts": 4,
            "max_prompts": 32,
            "lora_rank": 2,
            # A random model learns nothing worth an experiment: every candidate is refused, so that training goes on.
            "gate": {"prompts": 4, "answers_per_prompt": 1, "kl_to_champion": 1e-12},
        },
    }


class Deployment:
    """One data folder and one port, over as many lives of `plaudit up` as a test wants."""

    document = staticmethod(settings_document)

    def __init__(self, folder: Path, model: Path, changes: Mapping[str, dict[str, Any]] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "plaudit.toml"
        document = self.document(folder, model)
        for section, values in (changes or {}).items():
            document[section] = {**document.get(section, {}), **values}
        config.write_text("".join(f"{key} = {toml_value(value)}\n" for key, value in document.items()))
        self.settings: Settings = load_settings(config)
        # What a training killed while it wrote its files leaves behind: the next one must not stumble over it.
        leftover = self.settings.data_dir / "adapters" / self.settings.policy_update.adapter_name / "1"
        leftover.mkdir(parents=True)
        (leftover / "adapter_model.safetensors").write_bytes(b"half an adapter")
        self.up = UpProcess(config, free_port(), folder / "up.out")
        self.url = self.up.url
        self.database = Database.open(self.settings.store_url)

    def ensure_ready(self) -> None:
        """Start it where it does not run; returns when it is ready."""
        if not self.up.alive():
            self.up.start()
        self.up.wait_ready(280.0)

    def runs(self, *jobs: str, since: float = 0.0) -> list[Any]:
        """The runs of these jobs that began at or after `since`, oldest first."""
        columns = job_runs.c
        query = select(job_runs).where(columns.project == PROJECT, columns.job.in_(jobs), columns.started_at >= since)
        with self.database.reading() as connection:
            return list(connection.execute(query.order_by(columns.started_at)).mappings())

    @contextmanager
    def opened(self) -> Iterator[Context]:
        """The parts of the same data folder, opened here: for looking, and for what a consumer does."""
        context = open_context(self.settings)
        try:
            yield context
        finally:
            context.close()

    def logs(self) -> str:
        """The ends of all logs, for the report of a failure."""
        files = [self.up.log, *sorted((self.settings.data_dir / "logs").glob("*.*"))]
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-3000:]}" for file in files)

    def close(self) -> None:
        self.up.kill()
        self.database.close()
