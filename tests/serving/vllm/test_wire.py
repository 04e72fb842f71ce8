"""vLLM's documents, by hand."""

import json
from typing import Any

import pytest

from infra.contracts import SamplingParameters
from serving.engine_errors import EngineFailed
from serving.vllm.errors import ReplicaFailed
from serving.vllm.wire import as_logged, completion_body, message_of, read_piece, read_scores, scoring_body


def document(**choice: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, "text": "", **choice}]}).encode()


def test_a_request_names_every_parameter_that_a_server_would_fill_in() -> None:
    body = completion_body((1, 2), SamplingParameters(temperature=0.5, top_p=0.9, top_k=3, seed=7), "kind@1", (2, 9))
    assert body["prompt"] == [1, 2]
    assert body["stop_token_ids"] == [2, 9]
    assert body["logprobs"] == 0
    assert body["return_token_ids"] is True
    assert [body[name] for name in ("temperature", "top_p", "top_k", "seed")] == [0.5, 0.9, 3, 7]
    assert [body[name] for name in ("min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")] == [
        0.0, 1.0, 0.0, 0.0,
    ]  # fmt: skip
    assert "seed" not in completion_body((1,), SamplingParameters(), "m", ())


def test_tokens_come_as_ids_or_as_names_of_ids() -> None:
    logprobs = {"tokens": ["token_id:5", "token_id:6"], "token_logprobs": [-0.5, None]}
    by_ids = read_piece(document(token_ids=[5, 6], logprobs=logprobs, finish_reason="length"))
    by_names = read_piece(document(logprobs=logprobs, finish_reason="length"))
    assert by_ids == by_names == ([5, 6], [-0.5, -9999.0], "length")


@pytest.mark.parametrize(
    "broken",
    [
        b"not json",
        b'{"choices": []}',
        document(token_ids=[5], logprobs={"tokens": [], "token_logprobs": []}),
        document(logprobs={"tokens": [" the"], "token_logprobs": [-1.0]}),
    ],
)
def test_what_cannot_be_understood_is_a_failure(broken: bytes) -> None:
    with pytest.raises(EngineFailed):
        read_piece(broken)


def test_an_error_in_a_stream_is_the_server_s_failure_and_keeps_its_words() -> None:
    with pytest.raises(ReplicaFailed, match="out of memory"):
        read_piece(b'{"error": {"message": "out of memory", "code": 500}}')
    assert message_of(b"<html>bad gateway</html>") == "<html>bad gateway</html>"
    assert message_of(b'{"object": "error", "message": "no"}') == "no"


def test_scores_are_those_of_the_given_tokens() -> None:
    listed = [None, {"7": {"logprob": -1.5, "rank": 3}}, {"8": {"logprob": -0.25}, "1": {"logprob": -0.1}}]
    answer = document(prompt_logprobs=listed)
    assert read_scores(answer, [4, 7, 8], 1) == [-1.5, -0.25]
    assert read_scores(answer, [4, 7, 8], 2) == [-0.25]
    with pytest.raises(EngineFailed, match="9"):
        read_scores(answer, [4, 7, 9], 1)
    with pytest.raises(EngineFailed):
        read_scores(answer, [4, 7], 1)
    assert scoring_body([4, 7], "m")["prompt_logprobs"] == 0


@pytest.mark.parametrize(
    ("sampling", "mode", "expected"),
    [
        (SamplingParameters(), "raw", (-1.0, -1.0)),
        (SamplingParameters(), "processed", (-1.0, -1.0)),
        (SamplingParameters(temperature=0.0), "raw", (-1.0, 0.0)),
        (SamplingParameters(temperature=0.0), "processed", (-1.0, 0.0)),
        (SamplingParameters(temperature=0.7), "raw", (-1.0, None)),
        (SamplingParameters(temperature=0.7), "processed", (None, -1.0)),
        (SamplingParameters(top_p=0.9), "processed", (None, -1.0)),
        (SamplingParameters(top_k=5), "raw", (-1.0, None)),
    ],
)
def test_what_a_log_probability_says_depends_on_the_mode(
    sampling: SamplingParameters, mode: Any, expected: tuple[float | None, float | None]
) -> None:
    assert as_logged(-1.0, sampling, mode) == expected
