"""A consumer in a process of its own, to be killed: `python -m tests.ingest.consume_child SETTINGS_JSON`."""

import sys
import threading

from infra.runtime import open_context
from infra.settings import Settings
from ingest.consumer import FeedbackConsumer


def main() -> None:
    context = open_context(Settings.model_validate_json(sys.argv[1]))
    FeedbackConsumer(context).run(threading.Event())


if __name__ == "__main__":
    main()
