"""The frozen configuration of the simulated world, so that a page can say which world its figures are of.

Everything that decides what people think, what is asked, which candidates are tried and how many people are counted:
the files `calibration_texts.py` and `calibration_population.py` byte for byte, the sizes, and the candidates far from
the log. What the reward model reads and how it learns is not part of it.
"""

import dataclasses
import hashlib
import json
from pathlib import Path

from tests.benchmarks.calibration_heads import HELD_OUT_PEOPLE, Size
from tests.benchmarks.calibration_trials import FAR

FROZEN = "79f59e613e976756"
"""Digest of the world as it was before the reward model was changed for it."""
FILES = ("calibration_texts.py", "calibration_population.py")


def world_digest(size: Size, questions: int) -> str:
    """16 hex digits; another world has others."""
    folder = Path(__file__).parent
    numbers = [dataclasses.asdict(size), questions, HELD_OUT_PEOPLE, FAR]
    parts = [json.dumps(numbers, sort_keys=True).encode(), *((folder / name).read_bytes() for name in FILES)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
