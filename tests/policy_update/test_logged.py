"""Logged answers: with exact probabilities or not at all, and every one left out is counted."""

from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from infra.contracts import Answer, Interaction, Message, SamplingParameters
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.logged import Identity, rows_by_conversation, usable_rows, with_logged
from policy_update.scoring import rollout_sampler

if TYPE_CHECKING:
    from infra.models.loading import LoadedModel

IDENTITY = Identity("base", "tokens", "chat")
GOOD = Interaction(
    project="p",
    response_id="r1",
    conversation_id="c",
    created_at=1.0,
    messages=(Message("user", "Why?"),),
    answers=(Answer(0, "So.", "stop", (5, 6), (-1.0, -2.0), (-0.5, -1.5)),),
    adapter="loop@3",
    base_model_hash="base",
    tokenizer_hash="tokens",
    template_hash="chat",
    sampling=SamplingParameters(temperature=0.7),
    prompt_token_ids=(1, 2, 3),
)


def answer(**changes: Any) -> dict[str, Any]:
    return {"answers": (msgspec.structs.replace(GOOD.answers[0], **changes),)}


def sampling(**changes: Any) -> dict[str, Any]:
    return {"sampling": msgspec.structs.replace(GOOD.sampling, **changes)}


def test_a_row_is_what_was_drawn() -> None:
    (row,), left_out = usable_rows([GOOD], IDENTITY)
    assert left_out == {}
    assert astuple(row)[3:] == ((1, 2, 3), (5, 6), (-0.5, -1.5), "loop@3", False)
    assert row.conversation == GOOD.messages


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": "imported"}, "not ours"),
        ({"prompt_token_ids": ()}, "no tokens"),
        (answer(token_ids=()), "no tokens"),
        (answer(logprobs_sampled=()), "no log-probabilities"),
        (answer(logprobs_sampled=(-1.0,)), "no log-probabilities"),
        (answer(logprobs_sampled=(-1.0, float("nan"))), "no log-probabilities"),
        (sampling(temperature=0.0), "greedy"),
        (sampling(top_p=0.9), "truncated sampler"),
        (sampling(top_k=50), "truncated sampler"),
        ({"base_model_hash": "x"}, "another base"),
        ({"tokenizer_hash": ""}, "another tokenizer"),
        ({"template_hash": "x"}, "another template"),
    ],
)
def test_what_has_no_exact_ratio_is_left_out_and_counted(changes: dict[str, Any], reason: str) -> None:
    rows, left_out = usable_rows([msgspec.structs.replace(GOOD, **changes), GOOD], IDENTITY)
    assert [row.response_id for row in rows] == ["r1"]
    assert [name.split(":")[0] for name in left_out] == [reason]
    assert sum(left_out.values()) == 1


@pytest.fixture
def world(tiny_loaded: "LoadedModel") -> tuple["LoadedModel", Interaction]:
    """A base, and an interaction that it really answered."""
    from infra.models.chat import render_chat

    made = msgspec.structs.replace(
        GOOD,
        base_model_hash=tiny_loaded.base_model_hash,
        tokenizer_hash=tiny_loaded.tokenizer_hash,
        template_hash=tiny_loaded.template_hash,
        prompt_token_ids=tuple(render_chat(tiny_loaded, GOOD.messages)),
    )
    return tiny_loaded, made


def test_rows_of_another_rendering_or_too_long_are_counted(world: tuple["LoadedModel", Interaction]) -> None:
    base, made = world
    other = msgspec.structs.replace(made, prompt_token_ids=(*made.prompt_token_ids, 7))
    rows, left_out = rows_by_conversation(base, [made, other], 2)
    assert {conversation: len(own) for conversation, own in rows.items()} == {GOOD.messages: 1}
    assert left_out == {"another rendering of the prompt": 1}
    assert rows_by_conversation(base, [made], 1) == ({}, {"longer than max_new_tokens": 1})


def test_logged_answers_take_the_place_of_drawn_ones(world: tuple["LoadedModel", Interaction]) -> None:
    """Three in the log, at most two a group of four: the first two of each group stay as they were drawn."""
    base, made = world
    three = [
        msgspec.structs.replace(made, **answer(token_ids=(5, 6 + n), logprobs_sampled=(-0.5, -n))) for n in range(3)
    ]
    rows, _ = rows_by_conversation(base, three, 8)
    settings = PolicyUpdateSettings(max_new_tokens=8)
    plain = rollout_sampler(base, settings, 4)
    asked = (GOOD.messages, (Message("user", "Something else?"),))
    before, mixed = plain(base.model, asked, 1), with_logged(plain, base, rows, 2)(base.model, asked, 1)
    assert mixed.logged.tolist() == [False, False, True, True] + [False] * 4
    for row in (0, 1, 4, 5, 6, 7):
        length = int(before.mask[row].sum())
        assert mixed.ids[row, :length].tolist() == before.ids[row, :length].tolist()
        assert mixed.sampler_logprobs[row, :length].tolist() == before.sampler_logprobs[row, :length].tolist()
    assert mixed.ids[2:4, :2].tolist() == [[5, 8], [5, 6]], "seed 1: the third, then the first"
    assert mixed.sampler_logprobs[2:4, :2].tolist() == [[-0.5, -2.0], [-0.5, 0.0]]
    assert mixed.prompt_ids.tolist() == before.prompt_ids.tolist()
    assert with_logged(plain, base, rows, 9)(base.model, asked, 1).logged.sum() == 3, "one is always drawn"
    greedy = with_logged(plain, base, rows, 2)(base.model, asked, 1, greedy=True)
    assert not greedy.logged.any()
