"""Threads that work for others: being woken, they let what runs run on."""

import contextlib
import os


def stand_back() -> None:
    """The calling thread, and those that it starts from now on, no longer interrupt another one by being woken: they
    wait until it sleeps or its time slice is over. Linux's `SCHED_BATCH` (sched(7)); its share of the processor stays
    as it is, unlike a lower priority's. Nothing where the system has no such thing.

    Under the interpreter's lock, interrupting the thread that holds it gains nothing: whoever wakes can only ask for
    the lock, and the two switches are lost. Not for threads that compute: beside a busy process they would wait at
    every barrier.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # a policy set from outside, or a sandbox that forbids the call
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
