"""Logged answers: with exact probabilities or not at all, and every one left out is counted."""

from dataclasses import astuple
from typing import Any

import msgspec
import pytest

from infra.contracts import Answer, Interaction, Message, SamplingParameters
from policy_update.logged import Identity, usable_rows

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
    (row,), left_out = usable_rows([GOOD], IDENTITY, 10)
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
    rows, left_out = usable_rows([msgspec.structs.replace(GOOD, **changes), GOOD], IDENTITY, 10)
    assert [row.response_id for row in rows] == ["r1"]
    assert [name.split(":")[0] for name in left_out] == [reason]
    assert sum(left_out.values()) == 1


def test_no_more_than_asked_for() -> None:
    assert len(usable_rows([GOOD] * 5, IDENTITY, 3)[0]) == 3
