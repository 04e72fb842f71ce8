"""The local engine: batches, limits, cancellation, failures."""

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest

from infra.contracts import Message, SamplingParameters
from infra.models.chat import render_chat
from infra.models.errors import AdapterRefused, PromptTooLong
from infra.models.loading import LoadedModel
from infra.models.port import GenerationEngine, GenerationRequest
from serving.engine import AdapterNotLoaded, EngineBusy, EngineFailed, LocalEngine
from tests.models_fixtures import make_tiny_lora


@pytest.fixture
def engine(tiny_loaded: LoadedModel) -> Iterator[LocalEngine]:
    made = LocalEngine(tiny_loaded, max_batch_rows=4, max_queue_rows=6)
    yield made
    made.close()


def request(engine: LocalEngine, seed: int = 0, adapter: str = "base", tokens: int = 8) -> GenerationRequest:
    prompt = tuple(render_chat(engine.base, [Message("user", "What?")]))
    return GenerationRequest(prompt, SamplingParameters(seed=seed, max_tokens=tokens), adapter)


def test_it_is_a_generation_engine(engine: LocalEngine) -> None:
    as_port: GenerationEngine = engine
    assert as_port.loaded() == {"base"}


def test_answers_come_in_order_whatever_the_adapters(
    engine: LocalEngine, tiny_loaded: LoadedModel, tmp_path: Path
) -> None:
    make_tiny_lora(tiny_loaded, tmp_path / "a")
    engine.load_adapter("kind@1", str(tmp_path / "a"))
    mixed = [request(engine, seed, adapter) for seed in range(3) for adapter in ("base", "kind@1")]
    alone = [engine.generate([one])[0].token_ids for one in mixed]
    assert [result.token_ids for result in engine.generate(mixed)] == alone
    assert alone[0] != alone[1]


def test_a_full_queue_refuses_the_whole_request(engine: LocalEngine) -> None:
    block = threading.Event()
    first = GenerationRequest(
        request(engine).prompt_token_ids, SamplingParameters(max_tokens=1), on_token=lambda *_: block.wait(20) and None
    )
    running = engine.submit([first])
    while engine.waiting():
        pass
    waiting = engine.submit([request(engine, seed) for seed in range(5)])
    with pytest.raises(EngineBusy) as busy:
        engine.submit([request(engine), request(engine)])
    assert busy.value.status == 429
    block.set()
    wait([*running, *waiting], 20)
    assert all(future.exception() is None for future in [*running, *waiting])


def test_what_waits_is_asked_again_who_answers_and_what_has_begun_is_not(
    engine: LocalEngine, tiny_loaded: LoadedModel, tmp_path: Path
) -> None:
    make_tiny_lora(tiny_loaded, tmp_path / "a")
    engine.load_adapter("kind@1", str(tmp_path / "a"))
    by_kind, by_base = [engine.generate([request(engine, 3, ref)])[0].token_ids for ref in ("kind@1", "base")]
    block, asked = threading.Event(), list[str]()
    first = GenerationRequest(
        request(engine).prompt_token_ids, SamplingParameters(max_tokens=1), on_token=lambda *_: block.wait(20) and None
    )
    answer = "kind@1"

    def again() -> str:
        asked.append(answer)
        return answer

    running = engine.submit([first], again)
    while engine.waiting():
        pass
    moved = engine.submit([request(engine, 3, "kind@1")] * 2, again)
    gone = engine.submit([request(engine, 3, "kind@1")], lambda: "not loaded@1")
    answer = "base"
    block.set()
    wait([*running, *moved, *gone], 20)
    assert asked[0] == "kind@1", "the first one was asked as it began"
    assert set(asked[1:]) == {"base"}
    assert [future.result().token_ids for future in moved] == [by_base, by_base]
    assert gone[0].result().token_ids == by_kind
    assert by_kind != by_base


def test_a_cancelled_row_ends_early_and_harms_no_other(engine: LocalEngine) -> None:
    seen: list[int] = []
    leaving = GenerationRequest(
        request(engine).prompt_token_ids,
        SamplingParameters(seed=1, max_tokens=60),
        on_token=lambda token, *_: seen.append(token),
        is_cancelled=lambda: len(seen) >= 3,
    )
    staying = request(engine, 2, tokens=20)
    left, stayed = engine.generate([leaving, staying])
    assert left.finish_reason == "cancelled"
    assert list(left.token_ids) == seen[:3]
    assert stayed.token_ids == engine.generate([staying])[0].token_ids


def test_a_failing_batch_does_not_end_the_engine(engine: LocalEngine) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("boom")

    bad = GenerationRequest(request(engine).prompt_token_ids, SamplingParameters(max_tokens=2), on_token=explode)
    with pytest.raises(EngineFailed, match="boom"):
        engine.generate([bad])
    assert engine.generate([request(engine)])[0].token_ids


def test_what_waits_when_it_closes_is_told(engine: LocalEngine) -> None:
    engine.close()
    with pytest.raises(EngineFailed):
        engine.submit([request(engine)])


def test_refusals(engine: LocalEngine, tmp_path: Path) -> None:
    with pytest.raises(AdapterNotLoaded):
        engine.submit([request(engine, adapter="kind@1")])
    with pytest.raises(PromptTooLong):
        engine.submit([request(engine, tokens=600)])
    with pytest.raises(AdapterRefused):
        engine.load_adapter("kind@1", str(tmp_path / "nowhere"))
    engine.unload_adapter("base")
    assert engine.loaded() == {"base"}
