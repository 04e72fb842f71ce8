"""Every rule of the engine's port, for each engine. `PLAUDIT_TEST_VLLM=url` (with `PLAUDIT_TEST_VLLM_MODEL`, the folder
of the base model it runs) adds a real vLLM server."""

import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest
import torch

from infra.models.errors import AdapterRefused, PromptTooLong
from infra.models.fingerprint import measure, nearest
from infra.models.loading import LoadedModel, load_folder
from infra.models.logprobs import sequence_logprobs
from infra.models.text import text_of
from infra.settings.engines import VllmSettings
from serving.engine import AdapterNotLoaded, EngineBusy, EngineFailed, LocalEngine
from serving.vllm.engine import VllmEngine
from tests.conformance.engines import Bench
from tests.fixtures.helpers import wait_until
from tests.fixtures.vllm_double import VllmDouble
from tests.models_fixtures import make_tiny_model, tiny_loaded, tiny_model_dir

__all__ = ["make_tiny_model", "tiny_loaded", "tiny_model_dir"]

REAL = os.environ.get("PLAUDIT_TEST_VLLM", "")
KINDS = ("local", "vllm", *(("vllm-real",) if REAL else ()))
QUEUE = 6


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tiny_loaded: LoadedModel, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "local":
        engine = LocalEngine(tiny_loaded, max_batch_rows=4, max_queue_rows=QUEUE)
        yield Bench("local", engine, tiny_loaded, tmp_path)
        engine.close()
        return
    loaded = load_folder(Path(os.environ["PLAUDIT_TEST_VLLM_MODEL"])) if request.param == "vllm-real" else tiny_loaded
    double = VllmDouble(tiny_loaded)
    if request.param == "vllm":
        double.start()
    settings = VllmSettings(urls=(REAL if request.param == "vllm-real" else double.url,), backoff_seconds=0.01)
    remote = VllmEngine(loaded, settings, adapters_folder=tmp_path, max_queue_rows=QUEUE)
    try:
        (replica,) = remote.replicas()
        wait_until(lambda: replica.well() and replica.mode, 30.0, "the server")
        replica.open("base", replica.incarnation)
        yield Bench(request.param, remote, loaded, tmp_path)
    finally:
        remote.close()
        double.close()


def test_answers_come_in_order_whatever_the_adapters(bench: Bench) -> None:
    kind = bench.adapter("kind@1", 1)
    mixed = [bench.request(ref, seed=seed) for seed in range(2) for ref in ("base", kind)]
    alone = [bench.engine.generate([one])[0].token_ids for one in mixed]
    assert [result.token_ids for result in bench.engine.generate(mixed)] == alone
    assert len(set(alone)) == 4
    assert bench.engine.loaded() == {"base", "kind@1"}


def test_every_token_comes_with_its_log_probabilities_as_it_is_drawn(bench: Bench) -> None:
    kind = bench.adapter("kind@1", 1)
    came: list[tuple[int, float, float]] = []
    one = bench.request(kind, on_token=lambda *drawn: came.append(drawn))
    (result,) = bench.engine.generate([one])
    assert came == list(zip(result.token_ids, result.logprobs_raw, result.logprobs_sampled, strict=True))
    assert result.logprobs_sampled == pytest.approx(result.logprobs_raw, abs=1e-5), "drawn from the model itself"
    reference = sequence_logprobs(
        bench.loaded, [one.prompt_token_ids], [result.token_ids], model=bench.model(kind), micro_batch=1
    )
    assert result.logprobs_raw == pytest.approx(reference[0], abs=1e-3)


def test_raw_and_as_sampled_differ_by_what_the_sampling_does(bench: Bench) -> None:
    one = bench.request(temperature=0.7, top_k=5)
    (result,) = bench.engine.generate([one])
    ids = torch.tensor([[*one.prompt_token_ids, *result.token_ids]])
    with torch.inference_mode():
        logits = bench.loaded.model(ids).logits[0, len(one.prompt_token_ids) - 1 : -1].double()
    for row, token, raw, sampled in zip(
        logits, result.token_ids, result.logprobs_raw, result.logprobs_sampled, strict=True
    ):
        kept = (row / 0.7).topk(5)
        assert raw == pytest.approx(float(row.log_softmax(-1)[token]), abs=1e-3)
        assert sampled == pytest.approx(float(kept.values.log_softmax(-1)[kept.indices == token]), abs=1e-3)


def test_a_greedy_answer_was_drawn_with_certainty(bench: Bench) -> None:
    first, second = bench.engine.generate([bench.request(temperature=0.0, seed=seed) for seed in (1, 2)])
    assert first.token_ids == second.token_ids
    assert set(first.logprobs_sampled) == {0.0}
    assert all(value < 0 for value in first.logprobs_raw)


def test_a_seed_draws_the_same_tokens_again(bench: Bench) -> None:
    again = [bench.engine.generate([bench.request(seed=seed)])[0].token_ids for seed in (5, 5, 6)]
    assert again[0] == again[1] != again[2]
    free = [result.token_ids for result in bench.engine.generate([bench.request(seed=None) for _ in range(3)])]
    assert len(set(free)) > 1


def test_a_stop_string_ends_the_answer_and_its_tokens_are_all_there(bench: Bench) -> None:
    (whole,) = bench.engine.generate([bench.request(max_tokens=20, seed=3)])
    text = text_of(bench.loaded.tokenizer, whole.token_ids)
    stop = text[len(text) // 2 : len(text) // 2 + 2]
    (cut,) = bench.engine.generate([bench.request(max_tokens=20, seed=3, stop=(stop,))])
    assert cut.finish_reason == "stop"
    assert cut.token_ids == whole.token_ids[: len(cut.token_ids)]
    assert len(cut.token_ids) < len(whole.token_ids)
    assert stop in text_of(bench.loaded.tokenizer, cut.token_ids)
    assert text_of(bench.loaded.tokenizer, cut.token_ids, (stop,)) == text[: text.index(stop)]


def test_why_an_answer_ends(bench: Bench) -> None:
    results = bench.engine.generate([bench.request(max_tokens=40, seed=seed) for seed in range(4)])
    for result in results:
        ended = result.token_ids[-1] in bench.loaded.end_ids
        assert result.finish_reason == ("stop" if ended else "length")
        assert ended or len(result.token_ids) == 40


def test_who_is_cancelled_ends_early_and_harms_no_other(bench: Bench) -> None:
    seen: list[int] = []
    leaving = bench.request(
        max_tokens=60,
        seed=1,
        on_token=lambda token, *_: seen.append(token),
        is_cancelled=lambda: len(seen) >= 3,
    )
    staying = bench.request(seed=2, max_tokens=20)
    left, stayed = bench.engine.generate([leaving, staying])
    assert left.finish_reason == "cancelled"
    assert list(left.token_ids) == seen[:3]
    assert len(left.logprobs_raw) == 3
    assert stayed.token_ids == bench.engine.generate([staying])[0].token_ids


def test_a_future_that_its_caller_cancels_harms_nobody(bench: Bench) -> None:
    (future,) = bench.engine.submit([bench.request(max_tokens=20)])
    future.cancel()
    assert bench.engine.generate([bench.request()])[0].token_ids


def test_unloading_fails_no_answer_that_has_begun(bench: Bench) -> None:
    kind = bench.adapter("kind@1", 1)
    (expected,) = bench.engine.generate([bench.request(kind, max_tokens=30)])
    begun = threading.Event()
    (future,) = bench.engine.submit([bench.request(kind, max_tokens=30, on_token=lambda *_: begun.set())])
    assert begun.wait(60)
    bench.engine.unload_adapter(kind)
    assert future.result(20).token_ids == expected.token_ids
    with pytest.raises(AdapterNotLoaded):
        bench.engine.submit([bench.request(kind)])


def test_who_waits_is_asked_again_and_who_has_begun_is_not(bench: Bench) -> None:
    kind = bench.adapter("kind@1", 1)
    by_kind, by_base = (bench.engine.generate([bench.request(ref, seed=3)])[0].token_ids for ref in (kind, "base"))
    answer = "base"
    moved = bench.engine.submit([bench.request(kind, seed=3)] * 2, lambda: answer)
    assert [future.result(20).token_ids for future in moved] == [by_base, by_base]
    (stayed,) = bench.engine.submit([bench.request("base", seed=3)], lambda: kind)
    assert stayed.result(20).token_ids == by_kind


def test_what_it_says_on_the_probes_is_nearest_to_what_training_stored(bench: Bench) -> None:
    kind, rude = bench.adapter("kind@1", 1), bench.adapter("rude@1", 2)
    known = {"base": measure(bench.loaded), **bench.stored}
    for ref in ("base", kind, rude):
        found = bench.engine.fingerprint(ref)
        assert nearest(found, ref, known).verdict == "proven"
        assert 0 <= found.noise < 0.05
    with pytest.raises(AdapterNotLoaded):
        bench.engine.fingerprint("gone@1")


def test_a_full_queue_refuses_the_whole_request(bench: Bench) -> None:
    block = threading.Event()
    running = bench.engine.submit([bench.request(max_tokens=1, on_token=lambda *_: block.wait(60) and None)])
    wait_until(lambda: not bench.engine.waiting(), 20.0)
    waiting = bench.engine.submit([bench.request(seed=seed) for seed in range(QUEUE - 1)])
    with pytest.raises(EngineBusy) as busy:
        bench.engine.submit([bench.request(), bench.request()])
    assert busy.value.status == 429
    block.set()
    wait([*running, *waiting], 20)
    assert all(future.exception() is None for future in [*running, *waiting])
    assert bench.engine.waiting() == 0


def test_refusals(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(AdapterNotLoaded) as unknown:
        bench.engine.submit([bench.request("gone@1")])
    assert unknown.value.status == 404
    with pytest.raises(PromptTooLong):
        bench.engine.submit([bench.request(max_tokens=10**6)])
    with pytest.raises(AdapterRefused):
        bench.engine.load_adapter("kind@1", str(tmp_path / "nowhere"))
    bench.engine.unload_adapter("base")
    assert bench.engine.loaded() == {"base"}
    assert bench.engine.generate([bench.request()])[0].token_ids


def test_what_waits_when_it_closes_is_told(bench: Bench) -> None:
    futures = bench.engine.submit([bench.request(max_tokens=200, seed=seed) for seed in range(QUEUE)])
    bench.engine.close()
    for future in futures:
        error = future.exception(20)
        assert error is None or isinstance(error, EngineFailed)
    with pytest.raises(EngineFailed):
        bench.engine.submit([bench.request()])
    assert math.isfinite(bench.engine.waiting())
