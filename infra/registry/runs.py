"""One run: parameters, metrics over steps, artifacts. A failure to record never takes the training down."""

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from infra.contracts import Clock
from infra.registry.backend import quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

_LONGEST_VALUE = 5_000
"""MLflow refuses parameter and tag values beyond 6000 (parameters) or 8000 (tags) characters."""


class Run:
    """A handle on one MLflow run. `run_id` is "" when the registry was away: then every call is a no-op."""

    def __init__(self, client: "MlflowClient | None", run_id: str, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self.run_id = run_id

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record what the run was made with; values are written as text and cut at 5000 characters."""
        from mlflow.entities import Param

        rows = [Param(key, as_text(value)) for key, value in params.items()]
        self._record("params", lambda client: client.log_batch(self.run_id, params=rows))

    def log_metrics(self, metrics: Mapping[str, float | int | None], step: int | None = None) -> None:
        """Record numbers at `step` (0 when None). None and NaN mean "not measured" and are left out."""
        from mlflow.entities import Metric

        now = int(self._clock.now() * 1000)
        rows = [
            Metric(key, float(value), now, step or 0)
            for key, value in metrics.items()
            if value is not None and not math.isnan(value)
        ]
        if rows:
            self._record("metrics", lambda client: client.log_batch(self.run_id, metrics=rows))

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Add or replace tags, for instance lineage known only at the end."""
        from mlflow.entities import RunTag

        rows = [RunTag(key, as_text(value)) for key, value in tags.items()]
        self._record("tags", lambda client: client.log_batch(self.run_id, tags=rows))

    def log_artifact_dir(self, path: str | Path, name: str | None = None) -> None:
        """Copy a folder into the run's artifacts, under `name` (default: at their root)."""

        def write(client: "MlflowClient") -> None:
            # MLflow copies a folder that is not there without a word.
            if not Path(path).is_dir():
                raise FileNotFoundError(f"{path} is no folder")
            client.log_artifacts(self.run_id, str(path), name)

        self._record("artifacts", write)

    def finish(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        ended = int(self._clock.now() * 1000)
        self._record("status", lambda client: client.set_terminated(self.run_id, status, ended))

    def _record(self, what: str, write: "Callable[[MlflowClient], object]") -> None:
        if self._client is None:
            return
        try:
            with quiet():
                write(self._client)
        except Exception as error:
            # Truth is the store: the run goes on, and the log says what is missing.
            log.warning("registry lost %s of run %s: %s: %s", what, self.run_id, type(error).__name__, error)


def as_text(value: object) -> str:
    """How a parameter or tag is written: text, cut where MLflow would refuse it."""
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
