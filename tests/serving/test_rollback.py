"""From a rollback to the first answer of the champion before: less than a second, whatever the gateway is doing."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import update

from ab_testing.effects import revert_champion
from infra.contracts import AdapterVersion, SamplingParameters
from infra.db.tables import adapters
from infra.models.port import GenerationRequest
from infra.runtime import Context
from serving.adapters import Adapters
from tests.serving.conftest import Served, set_champion, wait_until

LIMIT_SECONDS = 1.0


class Answered(NamedTuple):
    """When a request was sent and answered, and by which adapter."""

    sent: float
    came: float
    adapter: str


class People:
    """Some who ask again soon after each answer."""

    def __init__(self, served: Served, count: int = 2) -> None:
        self._served = served
        self._stopping = threading.Event()
        self.answers: list[Answered] = []
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        while not self._stopping.is_set():
            sent = time.monotonic()
            answer = self._served.chat(max_tokens=1, user=f"user-{number}", metadata={"conversation_id": f"c{number}"})
            self.answers.append(Answered(sent, time.monotonic(), answer.headers["x-plaudit-adapter"]))
            self._stopping.wait(0.05)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()


def promote(served: Served) -> None:
    """Put kind@2 on the throne and have it served."""
    with served.context.database.transaction() as connection:
        connection.execute(update(adapters).values(state="challenger"))
    set_champion(served.context.database, "kind@2", "kind@1")
    wait_until(lambda: served.app.state.gateway.state.champion == "kind@2")
    assert served.chat(max_tokens=1).headers["x-plaudit-adapter"] == "kind@2"


def seconds_to_go_back(served: Served, people: People) -> float:
    """Go back to kind@1; time from the decision's commit to the first answer of kind@1."""
    revert_champion(served.context, "a drill")
    reverted = time.monotonic()
    wait_until(lambda: any(a.sent > reverted and a.adapter == "kind@1" for a in people.answers))
    time.sleep(0.3)
    first = min(a.came for a in people.answers if a.sent > reverted and a.adapter == "kind@1")
    late = [a for a in people.answers if a.sent > first and a.adapter != "kind@1"]
    assert late == [], "after the first answer of the champion before, no answer of the other one begins"
    return first - reverted


def best_of_three(served: Served, people: People) -> float:
    """The same, again where it took too long: that a busy machine stalls once is not the gateway's doing."""
    found = [seconds_to_go_back(served, people)]
    while found[-1] >= LIMIT_SECONDS and len(found) < 3:
        promote(served)
        found.append(seconds_to_go_back(served, people))
    return min(found)


def test_a_rollback_is_served_within_a_second_also_while_an_adapter_is_loaded(
    context: Context, make_adapter: Callable[..., AdapterVersion]
) -> None:
    # The default of the refreshing, and kind@2 is not loaded anew for the second round.
    serving = context.settings.serving.model_copy(update={"pinned_adapters": ("kind@2",)})
    settings = context.settings.model_copy(update={"serving": serving})
    served = Served(Context(settings, context.clock, context.database, context.event_log))
    for version in (1, 2):
        make_adapter("kind", version, seed=version)
    set_champion(context.database, "kind@2", "kind@1")
    served.start()
    wait_until(lambda: {"kind@1", "kind@2"} <= served.app.state.gateway.state.servable)
    people = People(served)
    loader: Adapters = served.app.state.gateway._adapters
    try:
        promote(served)
        found = [best_of_three(served, people)]
        promote(served)
        with loader._lock:  # held as long as adapters are loaded and proven
            found.append(best_of_three(served, people))
    finally:
        people.stop()
        served.stop()
    print(f"seconds to the first answer: {', '.join(f'{seconds:.2f}' for seconds in found)}")
    assert found[0] < LIMIT_SECONDS
    assert found[1] < LIMIT_SECONDS, "loading holds nothing up"


def test_a_request_that_waited_through_a_rollback_is_answered_by_the_champion_before(
    served: Served, make_adapter: Callable[..., AdapterVersion]
) -> None:
    make_adapter("kind", 1, seed=1)
    database = served.context.database
    set_champion(database, "kind@1", "base")
    gateway = served.app.state.gateway
    wait_until(lambda: gateway.state.champion == "kind@1" and "kind@1" in gateway.state.servable)
    begun, block = threading.Event(), threading.Event()

    def hold(*_: object) -> None:
        begun.set()
        block.wait(60)

    prompt = GenerationRequest((5, 6, 7), SamplingParameters(max_tokens=1), "base", on_token=hold)
    busy = gateway._engine.submit([prompt])
    begun.wait(60)
    answers: list[str] = []
    waiting = threading.Thread(
        target=lambda: answers.append(served.chat(max_tokens=1, user="anna").headers["x-plaudit-adapter"])
    )
    waiting.start()
    wait_until(lambda: gateway._engine.waiting() == 1)
    assert gateway.state.champion == "kind@1"
    revert_champion(served.context, "a drill")
    wait_until(lambda: gateway.state.champion == "base")
    block.set()
    waiting.join(20)
    busy[0].result(20)
    assert answers == ["base"]
    assert sorted(item.adapter for item in served.logged() if item.user_key) == ["base"]
