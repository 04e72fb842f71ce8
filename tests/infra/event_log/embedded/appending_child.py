"""A process that appends for ever: arguments FILE TOPIC NAME.

Prints one line for each append, written only after its acknowledgement: value, partition, offset.
"""

import sys
from collections import deque
from pathlib import Path

from infra.contracts import SystemClock
from infra.event_log import Record
from infra.event_log.deadlines import Acknowledgement
from infra.event_log.embedded.log import SqliteEventLog
from infra.settings.infrastructure import EventLogSettings

WINDOW = 8
"""Appends in flight: enough for several to share a commit."""


def main(path: str, topic: str, name: str) -> None:
    log = SqliteEventLog(Path(path), EventLogSettings(), SystemClock())
    flying: deque[tuple[str, Acknowledgement]] = deque()
    number = 0
    while True:
        value = f"{name}-{number}"
        flying.append((value, log.append(topic, [Record(key=value.encode(), value=value.encode() + bytes(2000))])))
        number += 1
        while len(flying) >= WINDOW:
            value, future = flying.popleft()
            (position,) = future.result(30)
            sys.stdout.write(f"{value} {position.partition} {position.offset}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
