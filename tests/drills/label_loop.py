"""The label job again and again in one process, to be killed: `python -m tests.drills.label_loop`."""

import time

from infra.contracts import PlauditError
from infra.runtime import JobContext, TryLater, open_context
from infra.settings import load_settings
from ingest.jobs import run_label


def main() -> None:
    context = open_context(load_settings())
    while True:
        try:
            run_label(JobContext(context))
        except (PlauditError, TryLater, OSError) as error:
            print("label job:", error, flush=True)
        except Exception as error:  # a store that is away speaks with its driver's tongue
            print("label job:", type(error).__name__, error, flush=True)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
