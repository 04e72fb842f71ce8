import io
import json
import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from infra.runtime import configure_logging
from infra.settings import Settings
from infra.settings.infrastructure import LoggingSettings


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield io.StringIO()
    root.handlers, root.level = handlers, level
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def _configure(stream: io.StringIO, **logging_settings: Any) -> None:
    configure_logging(Settings(logging=LoggingSettings(**logging_settings)), process="test", stream=stream)


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_json_object_a_line(stream: io.StringIO) -> None:
    _configure(stream)
    structlog.get_logger().info("adapter_proven", adapter="loop@3", margin_nats=0.5)
    (line,) = _lines(stream)
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "adapter_proven",
        "level": "info",
        "adapter": "loop@3",
        "margin_nats": 0.5,
        "process": "test",
        "project": "default",
    }


def test_bound_context_is_on_every_line(stream: io.StringIO) -> None:
    _configure(stream)
    with structlog.contextvars.bound_contextvars(run_id="r1"):
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")
    assert [line.get("run_id") for line in _lines(stream)] == ["r1", None]


def test_a_thread_says_which_process_it_belongs_to(stream: io.StringIO) -> None:
    _configure(stream)
    thread = threading.Thread(target=lambda: structlog.get_logger().info("inside"))
    thread.start()
    thread.join()
    (line,) = _lines(stream)
    assert (line["process"], line["project"]) == ("test", "default")


def test_what_people_wrote_is_withheld(stream: io.StringIO) -> None:
    _configure(stream)
    structlog.get_logger().info("request_failed", prompt="my secret", messages=[1, 2], user="ann", answer=None)
    assert "secret" not in stream.getvalue()
    assert "ann" not in stream.getvalue()
    (line,) = _lines(stream)
    assert (line["prompt"], line["messages"]) == ("<withheld: 9>", "<withheld: 2>")


def test_libraries_speak_json_too(stream: io.StringIO) -> None:
    _configure(stream)
    logging.getLogger("some.library").warning("Something %s happened", "odd")
    (line,) = _lines(stream)
    assert (line["event"], line["library"], line["message"]) == (
        "library_message",
        "some.library",
        "Something odd happened",
    )


def test_the_level_holds_for_all(stream: io.StringIO) -> None:
    _configure(stream, level="warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("some.library").info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in _lines(stream)] == ["loud"]


def test_a_traceback_is_one_line_too(stream: io.StringIO) -> None:
    _configure(stream)
    try:
        raise ValueError("odd")
    except ValueError:
        structlog.get_logger().exception("job_failed")
    (line,) = _lines(stream)
    assert "ValueError: odd" in line["exception"]


def test_console_format_is_for_people(stream: io.StringIO) -> None:
    _configure(stream, format="console")
    structlog.get_logger().info("adapter_proven", adapter="loop@3")
    assert "adapter_proven" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_a_line_that_cannot_be_written_takes_no_text_along(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    """Logged while a request is refused, to a stream that is closed: the exceptions at hand hold what people wrote."""
    _configure(stream)
    stream.close()
    try:
        raise KeyError("my secret")
    except KeyError:
        logging.getLogger("some.library").warning("Refused")
    told = capsys.readouterr().err
    assert re.fullmatch(r"a line of .*test_logs\.py:\d+ was not logged: ValueError\n", told), told
