import json

import pytest

from plaudit.load.answers import Reading


def piece(text: str | None, **more: object) -> bytes:
    choices = [] if text is None else [{"index": 0, "delta": {"content": text}}]
    return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n\n"


USAGE = {"prompt_tokens": 9, "completion_tokens": 3}
WHOLE = [piece(""), piece("a"), piece("b"), piece("c"), piece(None, usage=USAGE), b"data: [DONE]\n\n"]


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_a_stream_in_pieces_of_any_size(cut: int) -> None:
    reading, whole = Reading(True), b"".join(WHOLE)
    for at in range(0, len(whole), cut):
        reading.take(whole[at : at + cut], 1.0)
    assert reading.problem(200) is None
    assert (reading.usage.prompt_tokens, reading.usage.completion_tokens) == (9, 3)
    assert len(reading.gaps) == 2


def test_times_count_from_text_to_text() -> None:
    reading = Reading(True)
    for event, at in zip(WHOLE, [1.0, 1.5, 1.75, 2.5, 3.0, 3.5], strict=True):
        reading.take(event, at)
    assert reading.first_token == 1.5  # the empty piece that opens the stream is no token
    assert reading.gaps == [0.25, 0.75]


def test_line_ends_of_other_servers() -> None:
    reading = Reading(True)
    reading.take(b": keep alive\r\n\r\n" + b"".join(WHOLE).replace(b"\n", b"\r\n"), 1.0)
    assert reading.problem(200) is None
    assert len(reading.gaps) == 2


def test_streams_that_end_badly() -> None:
    cut, failed, garbled = Reading(True), Reading(True), Reading(True)
    cut.take(b"".join(WHOLE[:-1]), 1.0)
    failed.take(piece("a") + b'data: {"error": {"message": "m", "code": "engine_failed"}}\n\n', 1.0)
    garbled.take(piece("a") + b"data: {\n\ndata: [DONE]\n\n", 1.0)
    assert cut.problem(200) == "truncated_stream"
    assert failed.problem(200) == "engine_failed"
    assert garbled.problem(200) == "unreadable_chunk"


@pytest.mark.parametrize(
    ("stream", "status", "body", "code"),
    [
        (False, 200, b'{"choices": [{"message": {"content": "hi"}}], "usage": {"completion_tokens": 2}}', None),
        (False, 200, b'{"choices": []}', "no_answer"),
        (False, 200, b"<html>", "unreadable_body"),
        (True, 429, b'{"error": {"code": "rate_limit_exceeded"}}', "rate_limit_exceeded"),
        (False, 502, b"<html>bad gateway</html>", "no_code"),
        (False, 400, b'{"error": "text"}', "no_code"),
    ],
)
def test_whole_bodies(stream: bool, status: int, body: bytes, code: str | None) -> None:
    reading = Reading(stream)
    reading.take(body, 1.0)
    assert reading.problem(status) == code
