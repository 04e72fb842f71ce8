"""What a process that serves sets for itself once."""

import sys

from infra.runtime.collector import ease_collector

SWITCH_SECONDS = 0.0005
"""How long a thread of Python may go on while another waits; Python's own default is 5 ms, all that the gateway may
add, and each turn of the event loop that meets a thread which works all the time would wait so long."""


def ease_process(*, threads_work: bool) -> None:
    """Call it before serving: the collector rarely at work and, where `threads_work` in Python all the time (they keep
    the spool, or do what other services do), threads that give way soon. Where they do not it is the loop that is
    interrupted: an engine hands over when it waits for its device, and by itself that is soon enough."""
    ease_collector()
    if threads_work:
        sys.setswitchinterval(SWITCH_SECONDS)
