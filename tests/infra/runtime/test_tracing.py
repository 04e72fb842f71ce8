"""One trace from completion to label, over the log, whoever makes the spans."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from infra.contracts import ManualClock, new_response_id
from infra.db import Database
from infra.event_log import EventLog, Record
from infra.event_log.embedded.log import SqliteEventLog
from infra.event_log.port import KeepsLocally
from infra.runtime import Context, JobContext, open_context, tracing
from infra.runtime.traced_log import TracedKeepingLog, TracedLog, inner_log, traced_log
from infra.runtime.tracing import TracingUnavailable, completion_span_of, is_sampled, parents, trace_id_of, traceparent
from infra.settings import Settings
from infra.settings.tracing import TracingSettings
from ingest.codec import INTERACTION_CODEC
from ingest.jobs import run_label
from tests.ingest.builders import interaction
from tests.ingest.erasure.town import ANNA, ANSWERS, SECRET_PROMPT, drain, key_of, live


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    yield InMemorySpanExporter()
    tracing.stop_tracing()


@pytest.fixture
def traced(
    settings: Settings,
    clock: ManualClock,
    sqlite_database: Database,
    event_log: EventLog,
    exporter: InMemorySpanExporter,
) -> Context:
    """A system that traces every answer, and keeps the spans."""
    on = settings.model_copy(update={"tracing": TracingSettings(enabled=True, sample_ratio=1.0)})
    tracing.configure_tracing(on, "test", exporter)
    return Context(on, clock, sqlite_database, traced_log(event_log, on, clock))


def spans(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    tracing.stop_tracing()  # sends what waits
    return list(exporter.get_finished_spans())


def test_an_answer_is_one_trace_from_completion_to_label(
    traced: Context, exporter: InMemorySpanExporter, clock: ManualClock
) -> None:
    live(traced)
    clock.advance(30 * 86400)
    drain(traced)
    run_label(JobContext(traced))
    found = spans(exporter)
    response_id = ANSWERS["bert-1"]
    mine = [span for span in found if span.context.trace_id == uuid.UUID(response_id[-36:]).int]
    by_name: dict[str, list[ReadableSpan]] = {}
    for span in mine:
        by_name.setdefault(span.name, []).append(span)
    assert set(by_name) == {"completion", "interactions.apply", "feedback.accept", "feedback.apply", "label.final"}
    (completion,) = by_name["completion"]
    assert completion.parent is None
    assert completion.context.span_id == completion_span_of(response_id)
    for name in ("interactions.apply", "feedback.accept", "label.final"):
        assert {span.parent.span_id for span in by_name[name] if span.parent} == {completion.context.span_id}, name
    accepted = {span.context.span_id for span in by_name["feedback.accept"]}
    assert {span.parent.span_id for span in by_name["feedback.apply"] if span.parent} == accepted
    assert {span.resource.attributes["service.name"] for span in mine} == {"plaudit-test"}


def test_spans_say_nothing_of_people_or_texts(traced: Context, exporter: InMemorySpanExporter) -> None:
    live(traced)
    said = " ".join(span.to_json() for span in spans(exporter))
    assert ANSWERS["anna-1"] in said
    for secret in (SECRET_PROMPT, ANNA, key_of(traced, ANNA), "The answer to", "the sister"):
        assert secret not in said


def test_records_carry_the_header_and_are_otherwise_the_same(traced: Context, exporter: InMemorySpanExporter) -> None:
    live(traced)
    topic = f"{traced.settings.event_log.topic_prefix}.interactions"
    consumer = inner_log(traced.event_log).consumer(topic, "look")
    records = [record for _ in range(20) for record in consumer.poll(10, 0.05)]
    consumer.close()
    headers = {value for record in records for name, value in record.headers if name == "traceparent"}
    assert headers == {traceparent(trace_id_of(one), completion_span_of(one)) for one in ANSWERS.values()}, (
        "one record held five answers"
    )
    assert len(spans(exporter)) > len(ANSWERS)


def test_without_tracing_nothing_is_wrapped_and_nothing_is_made(settings: Settings, clock: ManualClock) -> None:
    assert not settings.tracing.enabled, "off by default"
    context = open_context(settings, clock)
    assert not isinstance(context.event_log, TracedLog)
    assert not tracing.active()
    assert tracing.completed(new_response_id(), 0.0, 1.0, {}) == ()
    assert tracing.happened("label.final", [new_response_id()], 0.0, 1.0) == {}
    context.close()


def test_a_missing_library_is_named_when_the_process_starts(
    settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    on = settings.model_copy(update={"tracing": TracingSettings(enabled=True)})
    with pytest.raises(TracingUnavailable, match=r"plaudit\[tracing\]"):
        open_context(on, clock)


def test_every_process_chooses_the_same_share_of_answers() -> None:
    ids = [new_response_id() for _ in range(4000)]
    chosen = [one for one in ids if is_sampled(trace_id_of(one), 0.25)]
    assert abs(len(chosen) / len(ids) - 0.25) < 0.05
    assert all(is_sampled(trace_id_of(one), 0.5) for one in chosen), "a larger share holds the smaller one"
    assert not any(is_sampled(trace_id_of(one), 0.0) for one in ids)
    assert all(is_sampled(trace_id_of(one), 1.0) for one in ids)


def test_ids_of_others_have_a_trace_too() -> None:
    assert trace_id_of("their-answer-7") == trace_id_of("their-answer-7") != trace_id_of("their-answer-8")
    assert 0 < trace_id_of("x") < 1 << 128


def test_headers_of_others_are_read_as_far_as_they_can_be() -> None:
    good = traceparent(7, 9)
    assert good == b"00-00000000000000000000000000000007-0000000000000009-01"
    strange: tuple[tuple[str, bytes], ...] = (
        ("traceparent", good), ("traceparent", b"\xff\xfe"), ("traceparent", b"00-xyz-1-01"), ("other", good),
        ("traceparent", b"00-" + b"g" * 32 + b"-0000000000000009-01"),
    )  # fmt: skip
    assert parents([Record(b"k", b"v", headers=strange)]) == [(7, 9)]


def test_a_tracer_that_fails_loses_no_vote(
    traced: Context, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(tracing.Tracing, "_make", broken)
    live(traced)
    with traced.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM feedback_events").scalar_one() == 11
    assert spans(exporter) == []


def test_a_log_that_keeps_records_here_first_is_traced_as_well(
    traced: Context, exporter: InMemorySpanExporter, clock: ManualClock, tmp_path: Path
) -> None:
    from infra.event_log.spooling.log import SpoolingEventLog

    settings = traced.settings
    spooling = SpoolingEventLog(inner_log(traced.event_log), tmp_path / "spool", settings.event_log)
    log = traced_log(spooling, settings, clock)
    assert isinstance(log, KeepsLocally)
    unkept = SqliteEventLog(tmp_path / "log.sqlite3", settings.event_log, clock)
    assert not isinstance(traced_log(unkept, settings, clock), TracedKeepingLog)
    unkept.close()
    topic, response_id = f"{settings.event_log.topic_prefix}.interactions", new_response_id()
    log.ensure_topic(topic)
    value = INTERACTION_CODEC.encode([interaction(response_id)])
    log.keep(topic, [Record(response_id.encode(), value, partition=0)]).result(10)
    spooling.close()
    (span,) = spans(exporter)
    assert span.context.trace_id == trace_id_of(response_id)


def test_what_is_no_feedback_of_ours_goes_on_as_it_is(traced: Context, exporter: InMemorySpanExporter) -> None:
    topic = f"{traced.settings.event_log.topic_prefix}.feedback"
    traced.event_log.ensure_topic(topic)
    values = [b"[]", b"\xc1", msgspec.msgpack.encode({"a": 1}), msgspec.msgpack.encode([[2, "p", 1.0, "api", "rows"]])]
    records = [Record(b"k", value, partition=0) for value in values]
    assert len(traced.event_log.append(topic, records).result(10)) == 4
    assert spans(exporter) == []
