"""A gauge that says nothing until it was set."""

from collections.abc import Callable, Iterable

from prometheus_client import Gauge, Metric


class OnceSet(Gauge):
    """A gauge without labels that has no sample before this process has set it.

    The client library shows an unlabelled gauge as 0 from the start. A consumer, say, knows nothing of what the gateway
    has proven, and must not tell an alert that it is 0.
    """

    _known = False

    def inc(self, amount: float = 1) -> None:
        self._known = True
        super().inc(amount)

    def dec(self, amount: float = 1) -> None:
        self._known = True
        super().dec(amount)

    def set(self, value: float) -> None:
        self._known = True
        super().set(value)

    def set_function(self, f: Callable[[], float]) -> None:
        self._known = True
        super().set_function(f)

    def collect(self) -> Iterable[Metric]:
        """What a scrape sees: the family, with its sample once there is one."""
        return super().collect() if self._known else super().describe()
