"""A promoter in a process of its own, to be killed: looks every ten seconds of story time from where the last one left.

    python -m tests.ab_testing.outage_child SETTINGS.json STORE_URL PROGRESS FIRST_INSTANT LOOKS

Prints a line when it begins to look. PROGRESS counts the looks that came to their end; a look that was killed after its
commit and before that line is made again, at the same instant.
"""

import sys
from pathlib import Path

from ab_testing.service import decide
from infra.contracts import ManualClock
from infra.db import Database
from infra.event_log import open_event_log
from infra.runtime import Context
from infra.settings import Settings
from tests.ab_testing.outages import EVERY


def main(settings_file: str, url: str, progress: str, first: float, looks: int) -> None:
    """Look until `looks` looks are done."""
    settings = Settings.model_validate_json(Path(settings_file).read_text())
    done = Path(progress)
    database = Database.open(url)
    clock = ManualClock(first)
    log = open_event_log(settings, clock)
    print("looking", flush=True)
    try:
        for number in range(len(done.read_text().split()) if done.exists() else 0, looks):
            clock.advance(first + number * EVERY - clock.now())
            decide(Context(settings, clock, database, log))
            with done.open("a") as file:
                file.write(f"{number}\n")
    finally:
        log.close()
        database.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5]))
