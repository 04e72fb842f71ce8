"""The garbage collector of a process that serves: rarely at work, as what requests make is freed by counting."""

import gc

_YOUNG = 20_000
"""Objects made and not freed before the collector looks at them; Python's own default is 700. Served requests make no
cycles that matter; those of failures wait a little longer."""


def ease_collector() -> None:
    """Call it once start-up is done: what is there now stays, and is not looked at again."""
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)
