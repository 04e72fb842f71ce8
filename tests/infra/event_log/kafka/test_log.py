"""What only Kafka can do to a log: a broker that dies, comes back empty, or refuses."""

import gc
import logging
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from infra.contracts import ManualClock
from infra.event_log import EventLog, EventLogUnavailable, InvalidRecord, open_event_log
from infra.event_log.kafka import client
from infra.event_log.kafka.client import MissingLibrary, require_fast_codecs, translated
from infra.event_log.kafka.log import KafkaEventLog, NoTopicIdentity
from infra.settings.infrastructure import EventLogSettings
from infra.settings.root import Settings
from tests.conformance.logs import record
from tests.fixtures.broker import running_broker
from tests.fixtures.helpers import free_port, wait_until

pytestmark = pytest.mark.broker

Connect = Callable[..., KafkaEventLog]


def _settings(bootstrap: str, **more: object) -> EventLogSettings:
    return EventLogSettings.model_validate(
        {
            "kind": "kafka",
            "bootstrap_servers": bootstrap,
            "replication_factor": 1,
            "append_timeout_seconds": 3.0,
            "session_timeout_seconds": 6.0,
        }
        | more
    )


@pytest.fixture
def connect(clock: ManualClock) -> Iterator[Connect]:
    with ExitStack() as closing:

        def connect_it(bootstrap: str, **more: object) -> KafkaEventLog:
            log = KafkaEventLog(_settings(bootstrap, **more), clock)
            closing.callback(log.close)
            return log

        yield connect_it


def _topic(log: EventLog) -> str:
    name = f"test.{uuid.uuid4().hex[:12]}"
    log.ensure_topic(name)
    return name


def test_the_log_outlives_its_broker(connect: Connect) -> None:
    """The broker is killed, appends fail in time and say so, and after its return the same log appends again."""
    port = free_port()
    with running_broker(port) as bootstrap:
        log = connect(bootstrap)
        topic = _topic(log)
        identity = log.topic_identity(topic)
        assert log.append(topic, [record("before", 0)]).result(10)[0].offset == 0
        assert log.healthy() is None
    started = time.monotonic()
    with pytest.raises(EventLogUnavailable):
        log.append(topic, [record("while it is away", 0)]).result(10)
    assert time.monotonic() - started < 9, "not the patience of those who ask"
    started = time.monotonic()
    with pytest.raises(EventLogUnavailable):  # reconnecting: the caller is told at once
        log.append(topic, [record("soon after", 0)]).result(10)
    assert time.monotonic() - started < 2.5, "less than an append may take"
    assert log.healthy() is not None
    with running_broker(port):  # keeps nothing: it is another broker at the same address
        wait_until(lambda: _ensured(log, topic), 20.0, "the topic at the new broker")
        assert log.topic_identity(topic) != identity
        wait_until(lambda: log.append(topic, [record("after", 0)]).exception(10) is None, 30.0, "an append")
        wait_until(lambda: log.healthy() is None, 10.0, "health")
        log.close()


def _ensured(log: EventLog, topic: str) -> bool:
    try:
        log.ensure_topic(topic)
    except EventLogUnavailable:
        return False
    return True


def test_without_a_broker_opening_fails_in_time_and_names_the_address(settings: Settings, clock: ManualClock) -> None:
    port = free_port()
    nowhere = settings.model_copy(update={"event_log": _settings(f"127.0.0.1:{port}", append_timeout_seconds=1.0)})
    gc.collect()
    threads, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    started = time.monotonic()
    with pytest.raises(EventLogUnavailable, match=f"127.0.0.1:{port} cannot be reached"):
        open_event_log(nowhere, clock)
    assert time.monotonic() - started < 9, "not the patience of those who ask"
    assert set(threading.enumerate()) <= threads  # an outage lasts: nothing may be left behind by each try
    assert len(os.listdir("/proc/self/fd")) <= files


def test_asking_a_dead_broker_leaves_nothing_behind(connect: Connect) -> None:
    with running_broker() as bootstrap:
        log = connect(bootstrap, append_timeout_seconds=1.0)
        assert log.healthy() is None
    assert log.healthy() is not None
    gc.collect()
    threads, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert log.healthy() is not None
    assert set(threading.enumerate()) <= threads
    assert len(os.listdir("/proc/self/fd")) <= files + 1  # the producer may be trying to connect just now


def test_a_topic_made_anew_has_another_identity(connect: Connect, kafka_bootstrap: str) -> None:
    log = connect(kafka_bootstrap)
    topic = _topic(log)
    before = log.topic_identity(topic)
    log._ask(lambda admin: admin.delete_topics([topic]), "delete")
    wait_until(lambda: _ensured(log, topic), 10.0)
    assert log.topic_identity(topic) != before


def test_a_broker_without_topic_ids_is_refused(
    connect: Connect, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = connect(kafka_bootstrap)
    topic = _topic(log)
    for missing in (None, str(uuid.UUID(int=0))):
        described: dict[str, object] = {"name": topic, "topic_id": missing, "partitions": [{}], "error_code": 0}
        monkeypatch.setattr(log, "_describe", lambda _, found=described: found)
        with pytest.raises(NoTopicIdentity, match=r"Kafka 2\.8"):
            log.topic_identity(topic)


def test_too_much_in_flight_is_refused_at_once(connect: Connect) -> None:
    with running_broker() as bootstrap:
        log = connect(bootstrap, queue_limit_bytes=10_000)
        topic = _topic(log)
        log.append(topic, [record("first", 0)]).result(10)
    stuck = log.append(topic, [record(bytes(9_000), 0)])  # the broker is gone: this one waits
    with pytest.raises(EventLogUnavailable, match=r"queue_limit_bytes|reconnecting"):
        log.append(topic, [record(bytes(9_000), 0)]).result(0)
    assert isinstance(stuck.exception(10), EventLogUnavailable)
    assert log._waiting_bytes == 0


@pytest.mark.parametrize("library", ["crc32c", "lz4.frame"])
def test_a_missing_codec_fails_loudly(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    require_fast_codecs()
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingLibrary, match=f"pip install {library.partition('.')[0]}"):
        require_fast_codecs()


def test_errors_are_told_apart_by_whether_a_retry_helps() -> None:
    from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

    too_large = translated(MessageSizeTooLargeError("x"), "append")
    assert (type(too_large), too_large.status) == (InvalidRecord, 413)
    late = translated(KafkaTimeoutError("y"), "append to t")
    assert (type(late), late.status) == (EventLogUnavailable, 503)
    assert "append to t: KafkaTimeoutError: y" in str(late)


def test_login_and_certificates_reach_the_client() -> None:
    plain = client.client_options(_settings("a:1,b:2"))
    assert plain["bootstrap_servers"] == ["a:1", "b:2"]
    assert "sasl_mechanism" not in plain
    login = {"security_protocol": "SASL_SSL", "sasl_username": "u", "sasl_password": "p", "ssl_ca_file": "/ca"}
    secured = client.client_options(_settings("a:1", **login))
    wanted = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "u", "sasl_plain_password": "p"}
    assert secured.items() >= (wanted | {"security_protocol": "SASL_SSL", "ssl_cafile": "/ca"}).items()


def test_the_librarys_log_goes_to_ours_once(caplog: pytest.LogCaptureFixture) -> None:
    client.bridge_logging()
    client.bridge_logging()
    logger = logging.getLogger("kafka")
    assert [type(handler).__name__ for handler in logger.handlers].count("_IntoStructlog") == 1
    assert not logger.propagate
    assert not logging.getLogger("kafka.net").isEnabledFor(logging.INFO)


def test_closing_leaves_no_thread_behind(clock: ManualClock, kafka_bootstrap: str) -> None:
    before = set(threading.enumerate())
    log = KafkaEventLog(_settings(kafka_bootstrap), clock)
    topic = _topic(log)
    log.append(topic, [record("x")]).result(10)
    consumer = log.consumer(topic, "g")
    consumer.poll(1, 0.1)
    consumer.close()
    log.close()
    wait_until(lambda: not set(threading.enumerate()) - before, 5.0, "the end of all threads")
