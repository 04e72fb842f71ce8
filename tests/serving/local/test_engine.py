"""The local engine: rows that come and go, limits, fairness, cancellation, failures, shutdown."""

import dataclasses
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest

from infra.contracts import Message, SamplingParameters
from infra.models.chat import render_chat
from infra.models.errors import AdapterRefused, PromptTooLong
from infra.models.fingerprint import measure, nearest
from infra.models.generate import generate
from infra.models.loading import LoadedModel
from infra.models.merging import merged_copy
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
        request(engine).prompt_token_ids, SamplingParameters(max_tokens=1), on_token=lambda *_: block.wait(60) and None
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
        request(engine).prompt_token_ids, SamplingParameters(max_tokens=1), on_token=lambda *_: block.wait(60) and None
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


def test_a_failing_request_does_not_end_the_engine(engine: LocalEngine) -> None:
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


class Gate:
    """A first answer that runs until it is opened: what comes meanwhile waits for the engine's next step."""

    def __init__(self, engine: LocalEngine, **more: object) -> None:
        self._open, self.begun = threading.Event(), threading.Event()
        prompt = request(engine).prompt_token_ids
        asked = GenerationRequest(prompt, SamplingParameters(max_tokens=1), on_token=self._hold, **more)  # type: ignore[arg-type]
        (self.future,) = engine.submit([asked])
        assert self.begun.wait(60)

    def _hold(self, *_: object) -> None:
        self.begun.set()
        self._open.wait(60)

    def open(self) -> None:
        self._open.set()
        self.future.result(20)


def test_unloading_fails_nothing_that_was_accepted(
    engine: LocalEngine, tiny_loaded: LoadedModel, tmp_path: Path
) -> None:
    make_tiny_lora(tiny_loaded, tmp_path / "a")
    make_tiny_lora(tiny_loaded, tmp_path / "b", seed=2)
    (by_a,) = generate(tiny_loaded, [request(engine, 1)], model=merged_copy(tiny_loaded, tmp_path / "a"))
    (by_b,) = generate(tiny_loaded, [request(engine, 1)], model=merged_copy(tiny_loaded, tmp_path / "b"))
    engine.load_adapter("kind@1", str(tmp_path / "a"))
    gate = Gate(engine)
    accepted = engine.submit([request(engine, 1, "kind@1")])
    engine.unload_adapter("kind@1")
    with pytest.raises(AdapterNotLoaded):
        engine.submit([request(engine, 1, "kind@1")])
    engine.load_adapter("kind@1", str(tmp_path / "b"))
    later = engine.submit([request(engine, 1, "kind@1")])
    gate.open()
    assert accepted[0].result(20).token_ids == by_a.token_ids
    assert later[0].result(20).token_ids == by_b.token_ids != by_a.token_ids


def test_one_request_is_not_kept_waiting_by_two_hundred_of_another(tiny_loaded: LoadedModel) -> None:
    engine = LocalEngine(tiny_loaded, max_batch_rows=2)
    order: list[str] = []

    def asked(flow: str) -> GenerationRequest:
        prompt, sampling = request(engine).prompt_token_ids, SamplingParameters(max_tokens=1)
        return GenerationRequest(prompt, sampling, flow=flow, on_token=lambda *_: order.append(flow))

    gate = Gate(engine, flow="many")
    many = engine.submit([asked("many") for _ in range(200)])
    one = engine.submit([asked("one")])
    gate.open()
    wait([*many, *one], 60)
    assert order.index("one") <= 2
    assert len(order) == 201
    engine.close()


def test_a_conversation_is_read_once(engine: LocalEngine) -> None:
    prompt = request(engine).prompt_token_ids
    sampling = SamplingParameters(temperature=0.0, max_tokens=4)
    (one,) = engine.generate([GenerationRequest(prompt, sampling, flow="anna", conversation="talk")])
    further = (*prompt, *one.token_ids, 50, 51)
    engine.generate([GenerationRequest(further, sampling, flow="anna", conversation="talk")])
    computed, reused = engine.prompts()
    assert reused == len(prompt) + len(one.token_ids) - 1
    assert computed == len(prompt) + len(further) - reused


def test_it_proves_by_the_form_that_answers(engine: LocalEngine, tiny_loaded: LoadedModel, tmp_path: Path) -> None:
    known = {"base": measure(tiny_loaded)}
    for ref, seed in (("kind@1", 1), ("rude@1", 2)):
        _, known[ref] = make_tiny_lora(tiny_loaded, tmp_path / ref, seed=seed)
        engine.load_adapter(ref, str(tmp_path / ref))
    for ref in known:
        assert nearest(engine.fingerprint(ref), ref, known).verdict == "proven"


def test_what_runs_when_it_closes_ends_and_what_takes_too_long_is_told(tiny_loaded: LoadedModel) -> None:
    engine = LocalEngine(tiny_loaded, max_batch_rows=1)
    begun = threading.Event()
    prompt = request(engine).prompt_token_ids

    def slowly(*_: object) -> None:
        begun.set()
        time.sleep(0.01)

    slow = GenerationRequest(prompt, SamplingParameters(max_tokens=400), on_token=slowly)
    running, waiting = engine.submit([slow, request(engine)])
    assert begun.wait(60)
    engine.close(within_seconds=0.05)
    for future in (running, waiting):
        with pytest.raises(EngineFailed, match="shut down"):
            future.result(20)


def test_an_architecture_that_only_transformers_computes_is_answered_by_whole_batches(tiny_loaded: LoadedModel) -> None:
    from transformers import GemmaConfig, GemmaForCausalLM

    config = GemmaConfig(
        vocab_size=len(tiny_loaded.tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        eos_token_id=2,
        pad_token_id=2,
    )
    other = dataclasses.replace(tiny_loaded, model=GemmaForCausalLM(config).requires_grad_(False).eval())
    engine = LocalEngine(other, max_batch_rows=2)
    asked = [request(engine, seed) for seed in range(3)]
    found = engine.generate(asked)
    assert [result.token_ids for result in found] == [generate(other, [one])[0].token_ids for one in asked]
    assert engine.fingerprint("base").logprobs == measure(other).logprobs
    engine.close()
