"""A process that joins a group, prints its partitions, and then only waits: arguments FILE TOPIC GROUP."""

import sys
import time
from pathlib import Path

from infra.contracts import SystemClock
from infra.event_log.embedded.log import SqliteEventLog
from infra.settings.infrastructure import EventLogSettings


def main(path: str, topic: str, group: str) -> None:
    log = SqliteEventLog(Path(path), EventLogSettings(session_timeout_seconds=3600.0), SystemClock())
    consumer = log.consumer(topic, group)
    while not consumer.assignment():
        consumer.poll(1, 0.1)
    sys.stdout.write(f"{sorted(consumer.assignment())}\n")
    sys.stdout.flush()
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
