"""The gateway over servers: from settings to logged interactions, and what happens when an arm's engine is unwell."""

from collections.abc import Callable, Iterator

import pytest

from infra.contracts import AdapterVersion
from infra.metrics.registry import REGISTRY
from infra.models.loading import LoadedModel
from infra.runtime import Context
from infra.settings.engines import EngineSettings, VllmSettings
from tests.fixtures.vllm_double import VllmDouble
from tests.serving.conftest import Served, start_experiment, wait_until

PEOPLE = 8


@pytest.fixture
def doubles(tiny_loaded: LoadedModel) -> Iterator[list[VllmDouble]]:
    made = [VllmDouble(tiny_loaded) for _ in range(2)]
    for double in made:
        double.start()
    yield made
    for double in made:
        double.close()


@pytest.fixture
def served(context: Context, doubles: list[VllmDouble]) -> Iterator[Served]:
    urls = tuple(double.url for double in doubles)
    engine = EngineSettings(kind="vllm", vllm=VllmSettings(urls=urls, health_every_seconds=0.1, backoff_seconds=0.05))
    settings = context.settings.model_copy(
        update={"serving": context.settings.serving.model_copy(update={"engine": engine})}
    )
    gateway = Served(Context(settings, context.clock, context.database, context.event_log))
    gateway.start()
    yield gateway
    gateway.stop()


def test_answers_of_an_arm_whose_engine_is_lost_are_the_champion_s_say_so_and_count_nowhere(
    served: Served, doubles: list[VllmDouble], make_adapter: Callable[..., AdapterVersion]
) -> None:
    doubles[1].faults.stale["kind@1"] = None  # so that one replica alone can serve it
    make_adapter("kind", 1, seed=1)
    start_experiment(served.context.database, "kind@1")
    wait_until(lambda: "kind@1" in served.models())
    for number in range(PEOPLE):
        answer = served.chat(max_tokens=3, user=f"user-{number}", temperature=0.7, logprobs=True)
        assert answer.status_code == 200
        tokens = answer.json()["choices"][0]["logprobs"]["content"]
        assert all(token["logprob"] <= 0 for token in tokens)
    before = served.logged()
    assert {item.arm for item in before} == {"challenger", "control"}
    assert {(item.experiment, item.why) for item in before} == {("e1", "counted")}
    assert all(len(item.answers[0].logprobs_raw) == len(item.answers[0].token_ids) for item in before)

    doubles[0].faults.forget_loads = True
    doubles[0].table.clear()
    challenged = next(number for number in range(PEOPLE) if _arm(before, number, served) == "challenger")
    for _ in range(2):
        answer = served.chat(max_tokens=3, user=f"user-{challenged}")
        assert (answer.status_code, answer.headers["x-plaudit-adapter"]) == (200, "base")
    known = {item.response_id for item in before}
    after = [item for item in served.logged() if item.response_id not in known]
    assert {(item.adapter, item.experiment, item.arm, item.propensity) for item in after} == {
        ("base", None, None, None)
    }
    assert {item.why for item in after} <= {"unhealthy", "unproven"}
    counted = [
        REGISTRY.get_sample_value("plaudit_serving_routes_total", {"why": why}) or 0
        for why in ("unhealthy", "unproven")
    ]
    assert sum(counted) >= len(after) == 2


def _arm(interactions: list, number: int, served: Served) -> str | None:  # type: ignore[type-arg]
    from infra.contracts import user_key_of
    from infra.settings import user_secret

    key = user_key_of(f"user-{number}", user_secret(served.context.settings))
    return next((item.arm for item in interactions if item.user_key == key), None)
