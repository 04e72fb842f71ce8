"""Whose turn it is."""

from collections import Counter
from concurrent.futures import Future

from hypothesis import given
from hypothesis import strategies as st

from infra.contracts import SamplingParameters
from infra.models.port import GenerationRequest
from serving.local.waiting import FairQueue, Together, Waiting


def item(flow: str, number: int = 0, gone: bool = False) -> Waiting:
    request = GenerationRequest(
        (number + 1,), SamplingParameters(), flow=flow, is_cancelled=(lambda: True) if gone else None
    )
    return Waiting(request, Future(), Together(None, None))


def order(queue: FairQueue, running: Counter[str] | None = None) -> list[tuple[str, int]]:
    found = []
    while (one := queue.pop(running or Counter())) is not None:
        found.append((one.request.flow, one.request.prompt_token_ids[0] - 1))
    return found


def test_flows_take_turns_however_much_one_asks() -> None:
    queue = FairQueue()
    queue.push(item("many", number) for number in range(200))
    queue.push([item("one")])
    assert order(queue)[:4] == [("many", 0), ("one", 0), ("many", 1), ("many", 2)]
    assert len(queue) == 0


def test_who_has_fewest_rows_running_goes_first() -> None:
    queue = FairQueue()
    queue.push([item("a"), item("b"), item("c")])
    assert order(queue, Counter(a=2, b=1, c=1)) == [("b", 0), ("c", 0), ("a", 0)]


def test_what_is_put_back_is_next_again() -> None:
    queue = FairQueue()
    queue.push([item("a", 0), item("a", 1), item("b", 2)])
    first = queue.pop(Counter())
    assert first is not None
    queue.back(first)
    assert len(queue) == 3
    assert order(queue) == [("a", 0), ("b", 2), ("a", 1)]


def test_who_left_is_taken_out() -> None:
    queue = FairQueue()
    cancelled = item("a", 1)
    cancelled.future.cancel()
    queue.push([item("a", 0), cancelled, item("b", 2, gone=True)])
    assert [one.request.prompt_token_ids[0] - 1 for one in queue.leave()] == [1, 2]
    assert len(queue) == 1
    assert order(queue) == [("a", 0)]
    assert queue.drain() == []


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_each_comes_once_and_a_flow_keeps_its_order(flows: list[str]) -> None:
    queue = FairQueue()
    queue.push(item(flow, number) for number, flow in enumerate(flows))
    found = order(queue)
    assert sorted(number for _, number in found) == list(range(len(flows)))
    for flow in "abc":
        assert [number for name, number in found if name == flow] == [i for i, f in enumerate(flows) if f == flow]
