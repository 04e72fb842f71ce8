"""Several adapters in as many products as one: the same sums, nobody's voice in another's, and when it is done."""

import pytest
import torch
from torch import Tensor

from infra.models.errors import AdapterRefused
from infra.models.kv_tables import KvMemory
from infra.models.lean import choirs as module
from infra.models.lean.choirs import MOST, PATIENCE, Choirs, join
from infra.models.lean.forced import shape_of
from infra.models.lean.ragged import hidden_states
from infra.models.lean.steps import Span, Step, lay_out
from infra.models.lean.voices import Voice, voice_of, with_lora
from infra.models.lean.weights import lay_together
from tests.infra.models.lean.test_forward import KINDS
from tests.infra.models.lean.test_ragged import SCALE, TARGETS, pairs_of


def base_voice(dtype: torch.dtype = torch.float32) -> tuple[object, Voice]:
    torch.manual_seed(0)
    model = KINDS["llama"]().requires_grad_(False).eval().to(dtype)
    lay_together(model)
    base = voice_of(model.get_decoder(), model.get_output_embeddings().weight)
    assert base is not None
    return model, base


def voices(count: int, dtype: torch.dtype = torch.float32, rank: int = 2) -> tuple[Voice, list[Voice]]:
    """(the base, adapters of which every second has some of the modules only)."""
    model, base = base_voice(dtype)
    found = []
    for seed in range(count):
        targets = TARGETS["some" if seed % 2 else "all"]
        voice = with_lora(base, pairs_of(model, targets, seed, rank + 2 * (seed % 2)), SCALE)
        assert voice is not None
        found.append(voice)
    return base, found


def step_of(speakers: list[Voice], choirs: Choirs | None) -> Step:
    """One token a row."""
    memory = KvMemory(shape_of(speakers[0]), limit_bytes=1 << 28, longest=64, max_rows=64)
    spans = []
    for number, voice in enumerate(speakers):
        lane = memory.open(8)
        assert lane is not None
        spans.append(Span(lane, voice, [1 + number]))
    return lay_out(spans, choirs)


def said(speakers: list[Voice], choirs: Choirs | None) -> Tensor:
    """Final hidden states, in the order of `speakers`."""
    step = step_of(speakers, choirs)
    assert (step.together is not None) == (choirs is not None)
    return hidden_states(step)[step.lasts]


def test_joined_they_say_what_each_says_alone() -> None:
    base, (a, b, c) = voices(3)
    speakers = [b, base, a, c, a, base, b]
    assert torch.allclose(said(speakers, Choirs()), said(speakers, None), atol=1e-5)
    alone = torch.cat([said([voice], None) for voice in (a, b)])
    assert not torch.allclose(alone[0], alone[1], atol=0.1), "adapters that say the same would prove nothing"


def test_in_bf16_ranks_that_onednn_takes_in_pairs_change_no_bit() -> None:
    base, (a, b) = voices(2, torch.bfloat16, rank=4)
    speakers = [a, b, base, a, b]
    assert torch.equal(said(speakers, Choirs()), said(speakers, None))


def test_what_overflows_in_one_is_not_heard_in_another() -> None:
    """Zero times infinity is not zero."""
    _, (a, b) = voices(2)
    assert a.lora is not None
    expected = said([b, b], None)
    for layer in a.lora:
        for beside in layer.values():
            beside.a.fill_(torch.finfo(torch.float32).max)
    found = said([a, b], Choirs())
    assert not torch.isfinite(found[0]).all()
    assert torch.allclose(found[1], said([a, b], None)[1], atol=1e-5)
    assert torch.isfinite(expected).all()


def test_a_choir_of_unlike_voices_by_hand() -> None:
    _, (a, b) = voices(2)
    choir = join([a, b])
    assert a.lora is not None
    assert b.lora is not None
    assert [sorted(layer) for layer in choir.lora] == [["down", "gate_up", "out", "qkv"]] * len(choir.lora)
    assert choir.layouts[choir.lora[0]["qkv"].layout].tolist() == [0] * 6 + [1] * 8, "b has no keys"
    assert choir.layouts[choir.lora[0]["down"].layout].tolist() == [0, 0], "b has nothing there"
    (masked,) = [s for s, c in zip(choir.silent([b, a]), choir.layouts, strict=True) if c.tolist() == [0, 0]]
    assert masked.tolist() == [[True, True], [False, False]]
    assert torch.equal(choir.lora[1]["qkv"].beside.a, torch.cat([a.lora[1]["qkv"].a, b.lora[1]["qkv"].a]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_are_not_finite_are_refused(dtype: torch.dtype) -> None:
    """By what they are scaled with, too: joined with others, they would be heard in what those say."""
    model, base = base_voice(dtype)
    name = "layers.0.self_attn.q_proj"
    a, b = pairs_of(model, TARGETS["all"], 0)[name]
    assert with_lora(base, {name: (a, b)}, 1.0) is not None
    with pytest.raises(AdapterRefused, match="too large for"):
        with_lora(base, {name: (a, b)}, 3e38 / float(b.abs().max()) * 1.5)


def test_where_there_is_no_memory_for_a_choir_each_is_computed_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(voices: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    _, (a, b) = voices(2)
    choirs = Choirs()
    monkeypatch.setattr(module, "join", full)
    assert [choirs.of([a, b]) for _ in range(PATIENCE)] == [None] * PATIENCE
    monkeypatch.undo()
    assert choirs.of([a, b]) is None, "it is not tried at each step"
    assert choirs.of([a, b]) is not None


def test_voices_of_another_base_are_not_taken_along() -> None:
    _, (a, b) = voices(2)
    _, (c, d) = voices(2)
    choirs = Choirs()
    assert choirs.of([a, b]) is not None
    found = [choirs.of([c, d]) for _ in range(PATIENCE + 1)][-1]
    assert found is not None
    assert found.voices == (c, d)


def test_adapters_that_change_nothing_are_joined_like_others() -> None:
    _, base = base_voice()
    nothing = [found for _ in range(2) if (found := with_lora(base, {}, 1.0)) is not None]
    assert torch.equal(said(nothing, Choirs()), said([base, base], None))


def test_one_adapter_needs_no_choir_and_many_tokens_have_none() -> None:
    base, (a, b) = voices(2)
    assert step_of([a, base, a], Choirs()).together is None
    assert step_of([a, b] * 16, Choirs()).together is not None
    memory = KvMemory(shape_of(base), limit_bytes=1 << 28, longest=512, max_rows=4)
    one, other = memory.open(300), memory.open(8)
    assert one is not None
    assert other is not None
    assert lay_out([Span(one, a, [1] * module.MOST_TOKENS), Span(other, b, [1])], Choirs()).together is None


def test_weights_of_its_own_stay_apart() -> None:
    _, (a, b) = voices(2)
    _, other = base_voice()
    step = step_of([a, other, b], Choirs())
    assert step.together is not None
    assert len(step.runs) == 2
    assert step.together.last - step.together.first == 2


def test_a_choir_stays_while_it_is_enough_and_is_not_made_anew_at_each_step() -> None:
    _, (a, b, c, d, e) = voices(5)
    choirs = Choirs()
    first = choirs.of([a, b])
    assert first is not None
    assert choirs.of([b, a]) is first
    assert [choirs.of([a, c]) for _ in range(PATIENCE)] == [None] * PATIENCE
    second = choirs.of([a, c])
    assert second is not None
    assert second.voices == (a, c, b), "who spoke before may speak again"
    assert choirs.of([b, c]) is second
    assert choirs.of([a, b, c, d, e][: MOST + 1]) is None


def test_who_is_let_go_of_is_not_kept() -> None:
    _, (a, b, c) = voices(3)
    choirs = Choirs()
    assert choirs.of([a, b]) is not None
    choirs.forget(a)
    assert choirs.of([a, c]) is None, "its last rows are computed by themselves"
    found = choirs.of([b, c])
    assert found is not None
    assert found.voices == (b, c), "at once: the other choir was not given up for another"


@pytest.mark.parametrize("count", [1, 2])
def test_on_one_thread_or_more(count: int) -> None:
    _, (a, b) = voices(2)
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        assert torch.allclose(said([a, b], Choirs()), said([a, b], None), atol=1e-5)
        assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
