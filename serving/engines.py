"""Which engine answers: the one place that knows them by name; all else speaks to the generation port."""

from infra.models.loading import LoadedModel
from infra.settings import Settings
from serving.engine import LocalEngine


def make_engine(loaded: LoadedModel, settings: Settings) -> LocalEngine:
    """The engine that the settings ask for, on `loaded`. Close it at the end."""
    serving = settings.serving
    return LocalEngine(
        loaded,
        max_batch_rows=serving.max_batch_rows,
        max_wait_seconds=serving.max_wait_seconds,
        max_queue_rows=serving.max_queue_rows,
    )
