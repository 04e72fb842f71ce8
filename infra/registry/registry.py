"""The registry: runs and model versions for people to read, kept by MLflow."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from infra.contracts import Clock, SystemClock
from infra.registry import backend
from infra.registry.backend import RegistryUnavailable
from infra.registry.runs import Run, as_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from infra.settings import Settings

log = logging.getLogger(__name__)


class Registry:
    """MLflow runs, model versions with lineage tags, and aliases. MLflow is imported and connected at first use.

    Model names are prefixed with the project (`default.loop`), since one registry may hold several products. Methods
    raise RegistryUnavailable; `run` alone never does, because no training may die of its own record.
    """

    def __init__(self, tracking_uri: str, experiment: str, artifact_root: Path, project: str, clock: Clock) -> None:
        self.tracking_uri = tracking_uri
        self.project = project
        self._experiment = experiment
        self._artifact_root = artifact_root
        self._clock = clock
        self._connection: tuple[MlflowClient, str] | None = None

    @classmethod
    def open(cls, settings: "Settings", clock: Clock | None = None) -> "Registry":
        """The registry these settings name; an empty `registry.tracking_uri` means a SQLite file in the data folder."""
        data_dir = settings.data_dir.resolve()
        uri = settings.registry.tracking_uri or f"sqlite:///{data_dir / 'mlflow.sqlite3'}"
        return cls(
            uri, settings.registry.experiment, data_dir / "mlflow-artifacts", settings.project, clock or SystemClock()
        )

    @contextlib.contextmanager
    def run(
        self,
        kind: str,
        name: str,
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, object] | None = None,
    ) -> Iterator[Run]:
        """A run of `kind` (`reward_model`, `policy_update`, ...); FINISHED at exit, FAILED when an exception passes."""
        run = self._start(kind, name, tags or {})
        if params:
            run.log_params(params)
        try:
            yield run
        except BaseException as error:
            run.set_tags({"plaudit.error": f"{type(error).__name__}: {error}"})
            run.finish("FAILED")
            raise
        run.finish("FINISHED")

    def register_version(
        self, name: str, run: Run | None, path: str | Path, tags: Mapping[str, object] | None = None
    ) -> int:
        """File the folder `path` as a version of model `name` and return MLflow's version number.

        A folder is filed once: the same `name` and `path` give the same number again (adapters are immutable).
        """
        known = self.versions(name).get(source_of(path))
        if known is not None:
            return known
        model = self._model(name)
        text = {key: as_text(value) for key, value in (tags or {}).items()}
        with self._client() as client:
            if not client.search_registered_models(f"name = '{model}'"):
                _create_model(client, model)
            version = client.create_model_version(
                model, source=source_of(path), run_id=(run.run_id if run else "") or None, tags=text
            )
        return int(version.version)

    def versions(self, name: str) -> dict[str, int]:
        """Folder -> version number, of every version of model `name`; {} for an unknown one."""
        with self._client() as client:
            found = client.search_model_versions(f"name = '{self._model(name)}'", max_results=10_000)
        return {str(version.source): int(version.version) for version in found}

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point `alias` at a version. For people: what is served is read from the store, never from here."""
        with self._client() as client:
            client.set_registered_model_alias(self._model(name), alias, str(version))

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove `alias`; removing what is not there is no error."""
        with self._client() as client:
            client.delete_registered_model_alias(self._model(name), alias)

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> version number of model `name`; {} for an unknown one."""
        with self._client() as client:
            for model in client.search_registered_models(f"name = '{self._model(name)}'"):
                return {alias: int(version) for alias, version in model.aliases.items()}
        return {}

    def exists(self) -> bool:
        """False when the registry is a SQLite file that has not been made yet (or was lost); opens nothing."""
        file = backend.sqlite_file(self.tracking_uri)
        return file is None or file.exists()

    def healthy(self) -> str | None:
        """None when the registry answers, else what is wrong and how to mend it."""
        try:
            with self._client() as client:
                client.search_registered_models(max_results=1)
        except RegistryUnavailable as error:
            return error.message
        return None

    def close(self) -> None:
        """Release pooled connections."""
        if self._connection is not None:
            backend.dispose(self._connection[0])
            self._connection = None

    def _model(self, name: str) -> str:
        return f"{self.project}.{name}"

    def _start(self, kind: str, name: str, tags: Mapping[str, object]) -> Run:
        labelled = {"plaudit.kind": kind, "plaudit.project": self.project, **tags}
        try:
            with self._client() as client:
                created = client.create_run(
                    self._connect()[1],
                    start_time=int(self._clock.now() * 1000),
                    tags={key: as_text(value) for key, value in labelled.items()},
                    run_name=name,
                )
        except RegistryUnavailable as error:
            log.warning("run %s of %s goes unrecorded: %s", name, kind, error)
            return Run(None, "", self._clock)
        return Run(self._connect()[0], str(created.info.run_id), self._clock)

    def _connect(self) -> "tuple[MlflowClient, str]":
        if self._connection is None:
            self._connection = backend.connect(self.tracking_uri, self._experiment, self._artifact_root)
        return self._connection

    @contextlib.contextmanager
    def _client(self) -> "Iterator[MlflowClient]":
        client, _ = self._connect()
        try:
            with backend.quiet():
                yield client
        except Exception as error:
            raise RegistryUnavailable(
                f"the MLflow registry at {self.tracking_uri} refused ({type(error).__name__}: {error}); nothing the "
                "loop decides on is lost, the registry job tries again"
            ) from error


def source_of(path: str | Path) -> str:
    """The form in which a folder stands in the registry: absolute, links resolved."""
    return str(Path(path).resolve())


def _create_model(client: "MlflowClient", model: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        # Another process filed the first version at the same moment.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
