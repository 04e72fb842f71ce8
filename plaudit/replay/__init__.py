"""`plaudit replay`: recorded human judgments through the public API, and what a reward model learns from them.

formats    files -> a recording of answers, preferences and votes
client     a recording -> HTTP requests that may be sent again without counting twice
embedded   the feedback API and its consumer in this process, where no `--url` is given
run        send, wait for the consumer, train, cross-validate, report
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.settings import Settings
    from plaudit.replay.run import ReplayOptions

__all__ = ["run"]


def run(settings: "Settings", file: Path, form: str, options: "ReplayOptions | None" = None) -> int:
    """Replay `file` and print the report; returns the exit code. Raises PlauditError."""
    from plaudit.replay.run import ReplayOptions, replay

    return replay(settings, file, form, options or ReplayOptions())
