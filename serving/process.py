"""What a process that serves sets for itself once."""

import sys

from infra.runtime.collector import ease_collector

SWITCH_SECONDS = 0.0005
"""How long a thread of Python may go on while another waits; Python's own default is 5 ms, all that the gateway
may add. The store is asked five times a second, the log's writer works all the time, and each turn of the event loop
that meets one of them would wait so long."""


def ease_process() -> None:
    """Call it before serving: the collector rarely at work, threads that give way soon."""
    ease_collector()
    sys.setswitchinterval(SWITCH_SECONDS)
