"""The garbage collector of a process that serves: rarely at work, as what requests make is freed by counting."""

import gc

_YOUNG = 20_000
"""Objects made and not freed before the collector looks at them; Python's own default is 700. Served requests make no
cycles; those of failures wait a little longer."""
_eased = False


def ease_collector() -> None:
    """Call it once start-up is done: what is there now stays, and is not looked at again."""
    global _eased
    _eased = True
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)


def started_late() -> None:
    """Call it where a part of start-up ends after that, a model's loading: its objects stay as well. It does nothing
    in a process that has not called `ease_collector`."""
    if _eased:
        gc.freeze()
