"""Rows that come and go between steps, against the same requests answered alone by the static loop."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.contracts import SamplingParameters
from infra.models.generate import generate
from infra.models.lean.ragged import hidden_states
from infra.models.lean.steps import Step
from infra.models.lean.voices import Voice
from infra.models.loading import LoadedModel, load_folder
from infra.models.merging import merged_copy
from infra.models.port import GenerationRequest, GenerationResult
from infra.models.voices import adapter_voice, base_voice
from serving.engine_errors import AnswerTooLarge, EngineFailed
from serving.local import continuous
from serving.local.continuous import ContinuousBatch
from serving.local.waiting import Together, Waiting
from tests.models_fixtures import make_tiny_lora

PROMPTS = (tuple(range(3, 30)), (5, 6, 7), (*range(3, 20), 90, 91), (40,))


class World:
    """The tiny model, two adapters, and what each answers when it is asked alone."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.loaded: LoadedModel = load_folder(model, device="cpu", dtype="float32")
        for name, seed in (("a", 1), ("b", 2)):
            make_tiny_lora(self.loaded, folder / name, seed=seed)
        self.models: list[Any] = [self.loaded.model, *(merged_copy(self.loaded, folder / name) for name in "ab")]
        base = base_voice(self.loaded)
        assert base is not None
        self.base = base
        self.voices: list[Voice] = [base, *(adapter_voice(self.loaded, base, folder / n) for n in "ab")]
        self._alone: dict[tuple[int, Any, Any], GenerationResult] = {}

    def batch(self, **more: Any) -> ContinuousBatch:
        limits = {"max_rows": 4, "kv_bytes": 1 << 24, "prefix_bytes": 1 << 23, "prefill_tokens": 16, **more}
        return ContinuousBatch(self.loaded, self.base, **limits)

    def alone(self, which: int, request: GenerationRequest) -> GenerationResult:
        key = (which, request.prompt_token_ids, request.sampling)
        if key not in self._alone:
            plain = GenerationRequest(request.prompt_token_ids, request.sampling)
            (self._alone[key],) = generate(self.loaded, [plain], model=self.models[which])
        return self._alone[key]

    def item(self, request: GenerationRequest, which: int = 0) -> Waiting:
        return Waiting(request, Future(), Together(None, self.voices[which]))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> World:
    return World(tmp_path_factory.mktemp("adapters"), tiny_model_dir)


def request(prompt: tuple[int, ...] = PROMPTS[0], tokens: int = 8, **more: Any) -> GenerationRequest:
    sampling = {name: more.pop(name) for name in ("temperature", "top_p", "top_k", "seed", "stop") if name in more}
    return GenerationRequest(prompt, SamplingParameters(max_tokens=tokens, **{"temperature": 0.0, **sampling}), **more)


def run(batch: ContinuousBatch) -> None:
    while batch.rows:
        batch.step()


def answer(batch: ContinuousBatch, item: Waiting) -> GenerationResult:
    assert batch.admit(item)
    run(batch)
    return item.future.result(0)


SAMPLINGS = ({"temperature": 0.0}, {"temperature": 1.0, "seed": 3}, {"temperature": 1.2, "top_p": 0.8, "seed": 4})
ARRIVALS = st.lists(
    st.tuples(
        st.integers(0, 2),  # adapter
        st.sampled_from(PROMPTS),
        st.integers(1, 12),  # tokens
        st.integers(0, 3),  # steps after the one before
        st.sampled_from(SAMPLINGS),
        st.sampled_from([None, "talk"]),  # conversation
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=15, deadline=None)
@given(arrivals=ARRIVALS, prefill=st.sampled_from([1, 5, 64]))
def test_whenever_a_request_comes_its_answer_is_that_of_one_that_is_alone(
    world: World, arrivals: list[Any], prefill: int
) -> None:
    batch = world.batch(max_rows=3, prefill_tokens=prefill)
    asked = []
    for which, prompt, tokens, steps, sampling, conversation in arrivals:
        for _ in range(steps):
            batch.step()
        one = request(prompt, tokens, conversation=conversation, **sampling)
        item = world.item(one, which)
        while batch.full():
            batch.step()
        assert batch.admit(item)
        asked.append((which, item))
    run(batch)
    for which, item in asked:
        found, expected = item.future.result(0), world.alone(which, item.request)
        assert (found.token_ids, found.finish_reason) == (expected.token_ids, expected.finish_reason)
        assert found.logprobs_raw == pytest.approx(expected.logprobs_raw, abs=1e-4)
        assert found.logprobs_sampled == pytest.approx(expected.logprobs_sampled, abs=1e-4)


def test_the_next_turn_of_a_conversation_reads_only_what_is_new(world: World) -> None:
    batch = world.batch()
    first = answer(batch, world.item(request(tokens=6, flow="anna", conversation="talk")))
    assert batch.prompts == (27, 0)
    further = (*PROMPTS[0], *first.token_ids, 50, 51, 52)
    asked = request(further, 6, flow="anna", conversation="talk")
    known = len(PROMPTS[0]) + len(first.token_ids) - 1  # the last token drawn was never read
    assert answer(batch, world.item(asked)).token_ids == world.alone(0, asked).token_ids
    assert batch.prompts == (27 + len(further) - known, known)


@pytest.mark.parametrize(
    ("which", "flow", "conversation"),
    [(1, "anna", "talk"), (0, "berta", "talk"), (0, "anna", "other"), (0, "anna", None)],
)
def test_nothing_is_reused_across_adapters_people_or_conversations(
    world: World, which: int, flow: str, conversation: str | None
) -> None:
    batch = world.batch()
    answer(batch, world.item(request(flow="anna", conversation="talk")))
    asked = request(flow=flow, conversation=conversation)
    assert answer(batch, world.item(asked, which)).token_ids == world.alone(which, asked).token_ids
    assert batch.prompts.reused == 0


def test_choices_of_one_request_share_their_prompt(world: World) -> None:
    batch = world.batch(prefill_tokens=10)
    together = Together(None, world.voices[1])
    items = [Waiting(request(temperature=1.0, seed=seed), Future(), together) for seed in range(3)]
    assert all(batch.admit(item) for item in items)
    run(batch)
    assert batch.prompts == (27 + 2, 2 * 26)
    for item in items:
        assert item.future.result(0).token_ids == world.alone(1, item.request).token_ids


def test_whose_leader_leaves_reads_the_prompt_itself(world: World) -> None:
    batch = world.batch(prefill_tokens=10)
    together = Together(None, world.voices[0])
    left = [False]
    leader = Waiting(request(is_cancelled=lambda: left[0]), Future(), together)
    follower = Waiting(request(), Future(), together)
    assert batch.admit(leader)
    assert batch.admit(follower)
    batch.step()
    left[0] = True
    run(batch)
    assert leader.future.result(0).finish_reason == "cancelled"
    assert follower.future.result(0).token_ids == world.alone(0, follower.request).token_ids


def test_who_is_cancelled_gives_its_place_to_the_next(world: World) -> None:
    row = 2 * 2 * 2 * 8 * 4 * 128  # layers, keys and values, heads, width, bytes, tokens
    batch = world.batch(kv_bytes=2 * row, prefix_bytes=0)
    left = [False]
    going = [world.item(request(tokens=40, is_cancelled=lambda: left[0])), world.item(request(tokens=4))]
    assert all(batch.admit(item) for item in going)
    waits = world.item(request(PROMPTS[1]))
    assert not batch.admit(waits), "memory is full"
    assert not waits.future.running()
    batch.step()
    batch.step()
    batch.step()
    left[0] = True
    batch.step()
    assert going[0].future.result(0).finish_reason == "cancelled"
    assert batch.admit(waits)
    run(batch)
    for item in (going[1], waits):
        assert item.future.result(0).token_ids == world.alone(0, item.request).token_ids
    cut = going[0].future.result(0).token_ids
    assert cut == world.alone(0, going[0].request).token_ids[: len(cut)]


def test_what_can_never_fit_is_refused_by_name(world: World) -> None:
    row = 2 * 2 * 2 * 8 * 4 * 128
    batch = world.batch(kv_bytes=row, prefix_bytes=0)
    batch.check(request(tokens=100))
    with pytest.raises(AnswerTooLarge, match=r"kv_memory_mib") as refused:
        batch.check(request(tokens=102))
    assert refused.value.code == "kv_memory_exceeded"


def test_conversations_kept_give_way_to_rows_that_run(world: World) -> None:
    row = 2 * 2 * 2 * 8 * 4 * 128
    batch = world.batch(kv_bytes=2 * row, prefix_bytes=row)
    answer(batch, world.item(request(tokens=4, conversation="talk")))
    items = [world.item(request(tokens=5)) for _ in range(2)]
    assert all(batch.admit(item) for item in items), "what was kept is let go of"
    run(batch)
    assert answer(batch, world.item(request(tokens=4, conversation="talk"))).token_ids
    assert batch.prompts.reused == 0


def test_nothing_is_kept_of_an_adapter_that_was_unloaded(world: World) -> None:
    batch = world.batch()
    running = world.item(request(conversation="talk"), 1)
    assert batch.admit(running)
    batch.step()
    batch.forget(world.voices[1])
    run(batch)
    assert running.future.result(0).token_ids == world.alone(1, running.request).token_ids
    answer(batch, world.item(request(conversation="talk"), 1))
    assert batch.prompts.reused == 0


def test_what_one_callers_function_raises_ends_its_row_alone(world: World) -> None:
    def explode(*_: object) -> bool:
        raise RuntimeError("boom")

    batch = world.batch()
    items = [world.item(request(on_token=explode)), world.item(request(is_cancelled=explode)), world.item(request())]
    assert all(batch.admit(item) for item in items)
    run(batch)
    for item in items[:2]:
        with pytest.raises(EngineFailed, match="boom"):
            item.future.result(0)
    assert items[2].future.result(0).token_ids == world.alone(0, items[2].request).token_ids


def test_the_likeliest_tokens_are_reported_where_they_are_asked_for(world: World) -> None:
    batch = world.batch()
    asked, plain = world.item(request(top_logprobs=3)), world.item(request())
    assert batch.admit(asked)
    assert batch.admit(plain)
    run(batch)
    result = asked.future.result(0)
    assert plain.future.result(0).top_logprobs == ()
    assert [len(top) for top in result.top_logprobs] == [3] * len(result.token_ids)
    for token, raw, top in zip(result.token_ids, result.logprobs_raw, result.top_logprobs, strict=True):
        assert top[0] == (token, pytest.approx(raw, abs=1e-5)), "greedy: the likeliest is the one drawn"
        assert [value for _, value in top] == sorted((value for _, value in top), reverse=True)


def test_a_caller_that_gave_up_waiting_gets_no_row(world: World) -> None:
    batch = world.batch()
    item = world.item(request())
    item.future.cancel()
    assert batch.admit(item)
    assert batch.rows == []


def test_adapters_that_answer_at_once_are_computed_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Step] = []
    monkeypatch.setattr(continuous, "hidden_states", lambda step: steps.append(step) or hidden_states(step))
    batch = world.batch()
    items = [world.item(request(PROMPTS[1]), which) for which in (1, 2, 0)]
    assert all(batch.admit(item) for item in items)
    run(batch)
    assert all(step.together is not None for step in steps if len(step.adapted) == 2)
    assert sum(step.together is not None for step in steps) >= 5
    for which, item in zip((1, 2, 0), items, strict=True):
        assert item.future.result(0).token_ids == world.alone(which, request(PROMPTS[1])).token_ids


def test_nothing_is_kept_of_an_adapter_that_is_let_go_of(world: World, tmp_path: Path) -> None:
    make_tiny_lora(world.loaded, tmp_path / "c", seed=3)
    voice = adapter_voice(world.loaded, world.base, tmp_path / "c")
    gone = ref(voice)
    batch = world.batch()
    for item in (Waiting(request(), Future(), Together(None, voice)), world.item(request(), 1)):
        assert batch.admit(item)
    del item
    batch.step()
    batch.forget(voice)
    run(batch)
    del voice
    assert gone() is None
