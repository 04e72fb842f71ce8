"""Every answer goes onto the log as an interaction before its response ends (contract 3)."""

import asyncio
import threading
import time

from infra.contracts import Interaction, PlauditError, stable_hash
from infra.event_log import EventLog, Record
from infra.metrics import catalogue as metrics
from infra.settings import Settings
from ingest.codec import INTERACTION_CODEC
from ingest.topics import interactions_topic

_HEALTH_AGE_SECONDS = 1.0


class LogUnhealthy(PlauditError):
    """The log would not take the interaction: nothing is generated that could not be learned from."""

    code = "event_log_unavailable"
    status = 503


class Recorder:
    """Appends interactions; each call resolves once its interaction is durable."""

    def __init__(self, event_log: EventLog, settings: Settings) -> None:
        self._log = event_log
        self._topic = interactions_topic(settings)
        self._partitions = 0
        self._checked_at = float("-inf")
        self._wrong: str | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises LogUnhealthy when the log does not answer (asked once a second at most). May block."""
        with self._lock:
            if time.monotonic() - self._checked_at > _HEALTH_AGE_SECONDS:
                self._wrong = self._log.healthy()
                self._checked_at = time.monotonic()
        if self._wrong is not None:
            raise LogUnhealthy(f"the event log does not take answers now ({self._wrong}): try again in a few seconds")

    async def record(self, interaction: Interaction) -> None:
        """Append and wait until durable. Raises EventLogUnavailable."""
        try:
            record = await asyncio.to_thread(self._record, interaction)
            await asyncio.wrap_future(self._log.append(self._topic, [record]))
        except PlauditError:
            metrics.SERVING_INTERACTIONS_LOST.inc()
            raise

    def _record(self, interaction: Interaction) -> Record:
        if not self._partitions:
            self._log.ensure_topic(self._topic)
            self._partitions = self._log.partitions(self._topic)
        return Record(
            key=interaction.response_id.encode(),
            value=INTERACTION_CODEC.encode([interaction]),
            partition=stable_hash(interaction.response_id, self._partitions),
        )
