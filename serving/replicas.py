"""What proves adapters by itself: the engine in this process is one replica, servers behind it are several.

An engine either is a `GenerationEngine` alone, or also says what it consists of (`Fleet`). Adapters are kept, proven
and opened for traffic replica by replica.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from infra.contracts import BASE_ADAPTER, AdapterRef, Fingerprint
from infra.models.port import GenerationEngine

LOCAL = "local"
"""Name of the only replica of an engine in this process."""


class Replica(Protocol):
    """One copy of the engine. All methods may block; they are called by one thread at a time.

    `incarnation` grows whenever the replica may have lost, or exchanged, what it had loaded: then nothing is proven.
    """

    name: str

    @property
    def incarnation(self) -> int: ...

    def well(self) -> bool:
        """Whether it answers at all."""
        ...

    def load_adapter(self, ref: AdapterRef, path: str) -> None:
        """Raises AdapterRefused, or EngineFailed when the replica is in no state to load anything."""
        ...

    def unload_adapter(self, ref: AdapterRef) -> None: ...

    def fingerprint(self, ref: AdapterRef) -> Fingerprint:
        """What it says on the probes now. Raises EngineFailed, AdapterNotLoaded."""
        ...

    def open(self, ref: AdapterRef, incarnation: int) -> bool:
        """From now on it takes traffic for the adapter, if it is still in the incarnation in which that was proven."""
        ...

    def close(self, ref: AdapterRef) -> None:
        """It takes no further traffic for the adapter."""
        ...

    def opened(self) -> frozenset[AdapterRef]:
        """Adapters it takes traffic for now; none while it is not well."""
        ...

    def second_chance(self) -> bool:
        """Whether loading once more may help after a mismatch: under a name that was never used there."""
        ...


@runtime_checkable
class Fleet(Protocol):
    """An engine of several replicas."""

    changed: Callable[[], None]
    """Called, by any thread, when a replica stops taking traffic for something."""

    def replicas(self) -> "Sequence[Replica]": ...

    def base_reference(self) -> Fingerprint | None:
        """What the base must say on the probes; None: nobody knows, the first replica's word is taken."""
        ...

    def base_allowance(self) -> float:
        """How far the base may lie from that reference, nats a token."""
        ...

    def reprove_every_seconds(self) -> float: ...


class OnlyReplica:
    """The engine of this process as its only replica: it never loses anything while the process lives."""

    name = LOCAL
    incarnation = 0

    def __init__(self, engine: GenerationEngine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._opened: frozenset[AdapterRef] = frozenset()

    def well(self) -> bool:
        return True

    def load_adapter(self, ref: AdapterRef, path: str) -> None:
        self._engine.load_adapter(ref, path)

    def unload_adapter(self, ref: AdapterRef) -> None:
        self.close(ref)
        if ref != BASE_ADAPTER:
            self._engine.unload_adapter(ref)

    def fingerprint(self, ref: AdapterRef) -> Fingerprint:
        return self._engine.fingerprint(ref)

    def open(self, ref: AdapterRef, incarnation: int) -> bool:
        with self._lock:
            self._opened |= {ref}
        return incarnation == self.incarnation

    def close(self, ref: AdapterRef) -> None:
        with self._lock:
            self._opened -= {ref}

    def opened(self) -> frozenset[AdapterRef]:
        return self._opened

    def second_chance(self) -> bool:
        return False


def replicas_of(engine: GenerationEngine) -> "tuple[Replica, ...]":
    """The replicas of any engine."""
    return tuple(engine.replicas()) if isinstance(engine, Fleet) else (OnlyReplica(engine),)
