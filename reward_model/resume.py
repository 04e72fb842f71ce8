"""What a killed training leaves behind, so that the next one ends as it would have: its instant.

Everything else follows from it. The training set is rebuilt as of the instant, features come out of the cache in whole
chunks of the same answers, and every fit has its seed: the heads are the same, bit for bit, on the same machine.
"""

import contextlib
import logging
import os
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)

ATTEMPT_FILE = ".training.json"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A training under way: the `instant` (Unix seconds) its labels are as of, and the configuration it runs under."""

    instant: float
    config_hash: str


def begin(folder: Path, now: float, config_hash: str, within_seconds: float, newest_instant: float) -> Attempt:
    """The attempt to carry on with: a killed one's, or a new one as of `now`, written down before anything is made.

    A killed one counts when it ran under the same configuration, is younger than `within_seconds`, and no version has
    been registered as of its instant or later (`newest_instant`, Unix seconds; -inf before the first). A file that
    cannot be read is said and left aside: then the training begins anew. Raises OSError where nothing can be written.
    """
    path = folder / ATTEMPT_FILE
    found = _read(path)
    same = found is not None and found.config_hash == config_hash
    if found is not None and same and newest_instant < found.instant <= now <= found.instant + within_seconds:
        log.info("reward model: the training as of %.6f was ended before it was done; it is taken up", found.instant)
        return found
    attempt = Attempt(instant=now, config_hash=config_hash)
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    with draft.open("wb") as stream:
        stream.write(msgspec.json.encode(attempt))
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, path)
    return attempt


def end(folder: Path) -> None:
    """The attempt is over: a version is registered, or none could be made of these labels."""
    with contextlib.suppress(OSError):
        (folder / ATTEMPT_FILE).unlink(missing_ok=True)


def _read(path: Path) -> Attempt | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Attempt)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("reward model: %s cannot be read (%s): the training begins anew, features are kept", path, error)
        return None
