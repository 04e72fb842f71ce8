"""What makes the names of files durable, beside their contents."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Have the system write a file, or a folder's own entries, to its disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
