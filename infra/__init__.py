"""What every room stands on. Rooms meet here and nowhere else.

One thing happens on import, as it has to happen before anything loads SQLite: its memory statistics are switched off
(`SQLITE_CONFIG_MEMSTATUS`). Nobody reads them, and keeping them costs a lock at every allocation, some 8 % of an
INSERT. Where SQLite is loaded already, or built into the interpreter, everything stays as it is.
"""

import ctypes
import sys
from importlib.util import find_spec

_MEMSTATUS = 9
"""`SQLITE_CONFIG_MEMSTATUS` of sqlite3.h."""


def _without_memory_statistics() -> bool:
    """Whether SQLite took the setting."""
    if "_sqlite3" in sys.modules:  # it takes settings before it is first used only
        return False
    module = find_spec("_sqlite3")
    if module is None or not module.has_location or module.origin is None:
        return False
    try:
        # The extension module is loaded, not initialised: its symbols are those of the library it is linked to.
        return ctypes.CDLL(module.origin).sqlite3_config(_MEMSTATUS, 0) == 0
    except (OSError, AttributeError):
        return False


_without_memory_statistics()
