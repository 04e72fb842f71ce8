"""`python -m tests.benchmarks.milestones FOLDER`: how long after it was ready a demo that has ended had its first
answer, feedback, label and decision; for docs/quickstart.md."""

import sys
from pathlib import Path

from infra.db import Database
from plaudit.demo.profile import PROJECT
from plaudit.demo.repository import ledger, milestones


def main(folder: Path) -> None:
    """Print a line for each, and the decision in words."""
    database = Database.open(f"sqlite:///{folder / 'store.sqlite3'}")
    with database.reading() as connection:
        for name, seconds in milestones(connection, PROJECT).items():
            print(f"first {name}: {seconds:.0f} s")
        verdict = next((row for row in ledger(connection, PROJECT) if row["kind"] not in ("start", "hold")), None)
    print("no decision yet" if verdict is None else f"decided: {verdict['kind']}: {verdict['reason']}")
    database.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
