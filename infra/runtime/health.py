"""Is this process alive, and may it have traffic? Named checks; liveness asks nobody."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from infra.metrics.catalogue import COMPONENT_READY

Check = Callable[[], str | None]
"""None when the part works, else what is wrong with it and what to do."""


@dataclass(frozen=True)
class Readiness:
    """`ready`, and by name what each check said: None for well."""

    ready: bool
    checks: dict[str, str | None] = field(default_factory=dict)


class Health:
    """The readiness checks of one process. Safe to share between threads."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._lock = threading.Lock()
        self._draining: str | None = None

    def add(self, name: str, check: Check) -> None:
        """Register or replace a check. It is called from any thread and should answer within a second."""
        with self._lock:
            self._checks[name] = check

    def remove(self, name: str) -> None:
        with self._lock:
            self._checks.pop(name, None)

    def drain(self, reason: str = "shutting down") -> None:
        """Not ready from now on, whatever the checks say: the first step of a shutdown."""
        self._draining = reason

    def readiness(self) -> Readiness:
        """Run every check. A check that raises is a part that does not work."""
        with self._lock:
            checks = dict(self._checks)
        said = {name: _ask(check) for name, check in sorted(checks.items())}
        for name, wrong in said.items():
            COMPONENT_READY.labels(component=name).set(0 if wrong else 1)
        if self._draining:
            said["process"] = self._draining
        return Readiness(ready=not any(said.values()), checks=said)


def _ask(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
