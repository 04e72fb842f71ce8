"""The sampling loop against transformers' own generation and against teacher forcing."""

from dataclasses import replace

import pytest
import torch

from infra.contracts import Message, SamplingParameters
from infra.models import generate as generation
from infra.models.chat import render_chat
from infra.models.errors import PromptTooLong
from infra.models.generate import generate
from infra.models.lean.packed import packed
from infra.models.lean.weights import LeanDecoder
from infra.models.loading import LoadedModel
from infra.models.logprobs import sequence_logprobs
from infra.models.port import GenerationRequest
from infra.models.text import text_of

QUESTIONS = ["What?", "How can I fall asleep faster? Tell me in two short sentences.", "Norway", "Why is it so?"]


def requests(loaded: LoadedModel, rows: int = 8, **sampling: object) -> list[GenerationRequest]:
    prompts = [tuple(render_chat(loaded, [Message("user", question)])) for question in QUESTIONS]
    return [
        GenerationRequest(prompts[row % 4], SamplingParameters(seed=row, **{"max_tokens": 20, **sampling}))  # type: ignore[arg-type]
        for row in range(rows)
    ]


def test_greedy_equals_transformers(tiny_loaded: LoadedModel) -> None:
    for request in requests(tiny_loaded, 4, temperature=0.0):
        prompt = torch.tensor([request.prompt_token_ids])
        theirs = tiny_loaded.model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, do_sample=False, pad_token_id=2
        )
        (ours,) = generate(tiny_loaded, [request])
        assert list(ours.token_ids) == theirs[0, prompt.shape[1] :].tolist()
        assert set(ours.logprobs_sampled) == {0.0}


def test_a_seeded_answer_does_not_depend_on_its_company(tiny_loaded: LoadedModel) -> None:
    asked = requests(tiny_loaded, temperature=1.2)
    together = generate(tiny_loaded, asked)
    assert [generate(tiny_loaded, [request])[0].token_ids for request in asked] == [r.token_ids for r in together]
    assert together[0].token_ids != together[4].token_ids, "same prompt, other seed"


def test_long_answers_are_drawn_by_packed_weights_and_say_the_same(
    tiny_loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = requests(tiny_loaded, 16, temperature=1.2)
    by_packed = generate(tiny_loaded, asked)
    monkeypatch.setattr(generation, "PACKING_PAYS", 21)
    for one, other in zip(by_packed, generate(tiny_loaded, asked), strict=True):
        assert one.token_ids == other.token_ids
        assert one.logprobs_raw == pytest.approx(other.logprobs_raw, abs=1e-4)


@pytest.mark.parametrize("part", ["packed_decoder", "packed"])
def test_layers_and_head_are_packed_where_it_pays(
    part: str, tiny_loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    if packed(torch.ones(8, 8)) is None:
        pytest.skip("torch has no oneDNN here")

    def silent(lean: LeanDecoder) -> LeanDecoder:
        layers = [
            replace(layer, down=(replace(layer.down[0], layout=_zeros(layer.down[0].weight)),)) for layer in lean.layers
        ]
        return replace(lean, layers=tuple(layers))

    plain = [generate(tiny_loaded, asked) for asked in (requests(tiny_loaded, 4), requests(tiny_loaded, 1))]
    short = generate(tiny_loaded, requests(tiny_loaded, 4, max_tokens=15))
    monkeypatch.setattr(generation, part, silent if part == "packed_decoder" else _zeros)
    assert generate(tiny_loaded, requests(tiny_loaded, 4)) != plain[0], "what is packed is what is computed with"
    assert generate(tiny_loaded, requests(tiny_loaded, 1)) == plain[1], "one row alone is not worth it"
    assert generate(tiny_loaded, requests(tiny_loaded, 4, max_tokens=15)) == short, "nor are short answers"


def _zeros(weight: torch.Tensor) -> torch.Tensor | None:
    return packed(torch.zeros_like(weight))


def test_log_probabilities_equal_a_recomputation(tiny_loaded: LoadedModel) -> None:
    asked = requests(tiny_loaded, 12, top_p=0.9, top_k=50)
    answers = generate(tiny_loaded, asked)
    again = sequence_logprobs(tiny_loaded, [r.prompt_token_ids for r in asked], [a.token_ids for a in answers])
    for answer, values in zip(answers, again, strict=True):
        assert list(answer.logprobs_raw) == pytest.approx(values, abs=1e-4)


def test_rows_end_by_end_token_and_length(tiny_loaded: LoadedModel) -> None:
    answers = generate(tiny_loaded, requests(tiny_loaded, 64, max_tokens=200, temperature=2.0))
    for answer in answers:
        ended = answer.token_ids[-1] in tiny_loaded.end_ids
        assert answer.finish_reason == ("stop" if ended else "length")
        assert ended or len(answer.token_ids) == 200
        assert not set(answer.token_ids[:-1]) & set(tiny_loaded.end_ids)
    assert {answer.finish_reason for answer in answers} == {"stop", "length"}


def test_a_stop_string_ends_the_row_and_the_text_before_it(tiny_loaded: LoadedModel) -> None:
    (free,) = generate(tiny_loaded, requests(tiny_loaded, 1, max_tokens=40))
    text = text_of(tiny_loaded.tokenizer, free.token_ids)
    stop = text[len(text) // 2 :][:2]
    (stopped,) = generate(tiny_loaded, requests(tiny_loaded, 1, max_tokens=40, stop=(stop,)))
    assert stopped.finish_reason == "stop"
    assert len(stopped.token_ids) < len(free.token_ids)
    assert free.token_ids[: len(stopped.token_ids)] == stopped.token_ids
    assert text_of(tiny_loaded.tokenizer, stopped.token_ids, (stop,)) == text[: text.index(stop)]


def test_tokens_are_reported_as_they_are_drawn(tiny_loaded: LoadedModel) -> None:
    seen: list[tuple[int, float, float]] = []
    asked = requests(tiny_loaded, 2)
    asked[0] = GenerationRequest(
        asked[0].prompt_token_ids, asked[0].sampling, on_token=lambda *token: seen.append(token)
    )
    answer, _ = generate(tiny_loaded, asked)
    assert seen == list(zip(answer.token_ids, answer.logprobs_raw, answer.logprobs_sampled, strict=True))


def test_limits(tiny_loaded: LoadedModel) -> None:
    assert generate(tiny_loaded, []) == []
    with pytest.raises(PromptTooLong, match="512"):
        generate(tiny_loaded, requests(tiny_loaded, 1, max_tokens=512))
    with pytest.raises(PromptTooLong):
        generate(tiny_loaded, [GenerationRequest((), SamplingParameters())])
