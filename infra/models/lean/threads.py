"""Small products on one thread: waking OpenMP's other threads for them costs more than they save.

Threads that have gone to sleep in between, as they soon do in our processes (`GOMP_SPINCOUNT`), take longer to be woken
and waited for than the product of a LoRA matrix with a few rows takes. The sums are the same in the same order. Only
oneDNN's products heed it; MKL's, in fp32, have a number of their own.

torch's own `set_num_threads` is not for this: threads that compute for the first time take its figure over for good.
OpenMP's belongs to the thread that calls.
"""

import ctypes
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from threadpoolctl import threadpool_info

SMALL = 1 << 22
"""Multiplications up to which a product counts as small."""


class OneThread:
    """While it is entered, oneDNN's products of this thread take no other one. Does nothing without torch's OpenMP."""

    def __init__(self) -> None:
        self._set = _setter()
        self._before = 1

    def __enter__(self) -> Self:
        if self._set is not None:
            self._before = torch.get_num_threads()
            self._set(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._set is not None:
            self._set(self._before)


@cache
def _setter() -> Any:
    """`omp_set_num_threads` of the OpenMP that torch computes with, or None. It is called with the interpreter's lock
    held: it only sets a number, and giving the lock away two hundred times a step would cost more than that."""
    before = torch.get_num_threads()  # loads it, and gives this thread its figure
    found = [Path(each["filepath"]).resolve() for each in threadpool_info() if each["user_api"] == "openmp"]
    own = [path for path in found if Path(torch.__file__).resolve().parent in path.parents] or found
    if len(own) != 1:  # others compute with theirs, which is not to be touched
        return None
    try:
        setter = ctypes.PyDLL(str(own[0])).omp_set_num_threads
    except (OSError, AttributeError):
        return None
    setter.argtypes, setter.restype = [ctypes.c_int], None
    setter(before + 1)
    heard = torch.get_num_threads() == before + 1
    setter(before)
    return setter if heard else None
