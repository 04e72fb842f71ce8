"""Who waits for the engine, and whose turn it is: flows take turns, whoever has the fewest rows running goes first."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from infra.contracts import AdapterRef
from infra.models.port import GenerationRequest, GenerationResult

Again = Callable[[], AdapterRef]
"""Which adapter shall answer, asked when the answer is about to begin."""


class Together:
    """Requests that came together: all are answered by one adapter, which is final once one of them has begun."""

    __slots__ = ("again", "begun", "voice")

    def __init__(self, again: Again | None, voice: Any) -> None:
        self.again = again
        self.begun = False
        self.voice = voice


@dataclass(frozen=True, eq=False)
class Waiting:
    """A request accepted, with what computes its answer: an adapter unloaded meanwhile still does."""

    request: GenerationRequest
    future: "Future[GenerationResult]"
    together: Together


class FairQueue:
    """What waits, by flow; in order within a flow. Locked by its owner."""

    def __init__(self) -> None:
        self._flows: OrderedDict[str, deque[Waiting]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, items: Iterable[Waiting]) -> None:
        for item in items:
            self._flows.setdefault(item.request.flow, deque()).append(item)
            self._count += 1

    def pop(self, running: Counter[str]) -> Waiting | None:
        """The next in turn: the first of the flow with the fewest rows running, and of those the one that has waited
        longest for its turn."""
        if not self._flows:
            return None
        flow = min(self._flows, key=lambda name: running[name])
        own = self._flows[flow]
        item = own.popleft()
        self._count -= 1
        if own:
            self._flows.move_to_end(flow)
        else:
            del self._flows[flow]
        return item

    def back(self, item: Waiting) -> None:
        """Put one that was popped where it was: at the head of its flow, its flow in front."""
        flow = item.request.flow
        self._flows.setdefault(flow, deque()).appendleft(item)
        self._flows.move_to_end(flow, last=False)
        self._count += 1

    def leave(self) -> list[Waiting]:
        """Take out those whose callers have left, by cancelling or by being gone."""
        gone = [item for own in self._flows.values() for item in own if _left(item)]
        for item in gone:
            own = self._flows[item.request.flow]
            own.remove(item)
            if not own:
                del self._flows[item.request.flow]
        self._count -= len(gone)
        return gone

    def drain(self) -> list[Waiting]:
        """Take out all."""
        items = [item for own in self._flows.values() for item in own]
        self._flows.clear()
        self._count = 0
        return items


def _left(item: Waiting) -> bool:
    asked = item.request.is_cancelled
    try:
        return item.future.cancelled() or (asked is not None and asked())
    except Exception:  # asked again when the answer begins, and reported there
        return False
